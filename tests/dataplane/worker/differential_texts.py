"""Bodies that are wrong as texts, CSV bodies, and content types."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from tests.dataplane.worker.differential_bodies import CSV, FORMS, JSON, Case, Table, to_json


def deep_cases() -> Iterator[Case]:
    """Yield JSON that is nested deeper than parsers go."""
    for form in FORMS:
        for depth in (100, 900, 100_000):
            nested = b"[" * depth + b"]" * depth
            yield Case(f"{form} nested {depth} deep", b'{"%b": %b}' % (form.encode(), nested))
        yield Case(f"{form} unclosed 100000 deep", b'{"%b": ' % form.encode() + b"[" * 100_000)
        yield Case(f"{form} objects 100000 deep", b'{"%b": ' % form.encode() + b'{"a":' * 100_000)


def broken_cases(table: Table) -> Iterator[Case]:
    """Yield texts around the border of JSON."""
    yield from deep_cases()
    good = to_json({"dataframe_split": FORMS["dataframe_split"](table.names, table.rows)})
    text = good.decode()
    bodies = {
        "empty": b"",
        "blank": b" \r\n\t",
        "cut in the middle": good[: len(good) // 2],
        "cut before the end": good[:-1],
        "one bracket too many": good + b"}",
        "two documents": good + good,
        "text after it": good + b" x",
        "blanks around it": b"\n \t" + good + b"\r\n ",
        "comma at the end": good[:-1] + b",}",
        "single quotes": text.replace('"', "'").encode(),
        "comment": b"/* x */" + good,
        "no quotes": b"{dataframe_split: 1}",
        "colon missing": b'{"dataframe_split" {}}',
        "zero in front": b'{"inputs": [01]}',
        "plus in front": b'{"inputs": [+1]}',
        "no digit in front": b'{"inputs": [.5]}',
        "no digit behind": b'{"inputs": [1.]}',
        "hexadecimal": b'{"inputs": [0x10]}',
        "nan in lower case": b'{"inputs": [nan]}',
        "None": b'{"inputs": None}',
        "control character in a text": b'{"inputs": ["\x01"]}',
        "unknown escape": b'{"inputs": ["\\x41"]}',
        "escape cut": b'{"inputs": ["\\u12"]}',
        "invalid UTF-8 in front": b"\xff" + good,
        "invalid UTF-8 in a text": good[:-1] + b', "x": "\xc3\x28"}',
        "overlong UTF-8": good[:-1] + b', "x": "\xc0\xaf"}',
        "surrogate in UTF-8": good[:-1] + b', "x": "\xed\xa0\x80"}',
        "Latin-1": '{"inputs": {"größe": [1]}}'.encode("latin-1"),
        "byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": text.encode("utf-16"),
        "UTF-16 without mark": text.encode("utf-16-le"),
        "UTF-32": text.encode("utf-32"),
        "NUL at the end": good + b"\x00",
        "JSON in JSON": json.dumps(text).encode(),
        "a list of it": b"[" + good + b"]",
        "form data": b"dataframe_split=1&x=2",
        "unescaped UTF-8": json.dumps(json.loads(good), ensure_ascii=False).encode(),
        "much white space": json.dumps(json.loads(good), indent=8).encode(),
    }
    yield from (Case(f"broken: {name}", body) for name, body in bodies.items())


def csv_cases(table: Table) -> Iterator[Case]:
    """Yield good and bad CSV."""
    frame = pd.DataFrame(table.columns)
    good = frame.to_csv(index=False)
    head, *lines = good.splitlines(keepends=True)
    wrong = {value: head + "".join([lines[0], ",".join([value] * len(table.names)) + "\n"]) for value in _CSV_VALUES}
    bodies: dict[str, str | bytes] = {
        "good": good,
        "one row": head + lines[0],
        "other order": frame[frame.columns[::-1]].to_csv(index=False),
        "with index": frame.to_csv(),
        "a further column": frame.assign(further=1).to_csv(index=False),
        "header only": head,
        "header without line end": head.strip(),
        "empty": "",
        "line ends only": "\n\n\n",
        "no header": "".join(lines),
        "CRLF": good.replace("\n", "\r\n"),
        "no line end at the end": good.rstrip("\n"),
        "blank lines": head + "\n" + "\n".join(lines) + "\n",
        "line with blanks": head + "   \n" + "".join(lines),
        "a line too long": good + lines[0].strip() + ",1,2\n",
        "a line too short": good + lines[0].split(",")[0] + "\n",
        "all lines too long": head + "".join(line.strip() + ",1\n" for line in lines),
        "semicolons": good.replace(",", ";"),
        "tabs": good.replace(",", "\t"),
        "quoted": frame.to_csv(index=False, quoting=1),
        "quote not closed": good + '"',
        "byte order mark": "\ufeff" + good,
        "NUL": good + "\x00",
        "a column twice": head.strip()
        + ","
        + head.split(",")[0]
        + "\n"
        + "".join(line.strip() + ",1\n" for line in lines),
        "JSON": to_json({"inputs": FORMS["inputs"](table.names, table.rows)}),
        "invalid UTF-8": good.encode() + b"\xff",
        "UTF-16": good.encode("utf-16"),
        "comment": "# x\n" + good,
        "blanks after commas": good.replace(",", ", "),
        **{f"without {name}": frame.drop(columns=name).to_csv(index=False) for name in table.names},
        **{f"row of {value!r}": body for value, body in wrong.items()},
    }
    for name, body in bodies.items():
        yield Case(f"CSV: {name}", body.encode() if isinstance(body, str) else body, CSV)


_CSV_VALUES = [
    *("", "1", "1.0", "-1.5", "1e3", "1e400", "nan", "NaN", "NA", "null", "inf", "text", "true", "True", "FALSE", "yes"),
    *("99999999999", "9007199254740993", "9223372036854775808", "2026-01-31", "2026-02-30", "31.01.2026", "ü", " 1 ", '"1"', "1_000"),
]  # fmt: skip


def content_type_cases(table: Table) -> Iterator[Case]:
    """Yield the same good bodies under every kind of content type."""
    body = to_json({"inputs": FORMS["inputs"](table.names, table.rows)})
    frame = pd.DataFrame(table.columns)
    csv, stored = frame.to_csv(index=False).encode(), io.BytesIO()
    frame.to_parquet(stored)
    parquet = "application/vnd.apache.parquet"
    parameters = [
        *(
            "; charset=utf-8",
            ";charset=utf-8",
            "; charset=UTF-8",
            "; CHARSET=utf-8",
            '; charset="utf-8"',
            "; charset=utf8",
        ),
        *(
            "; charset=latin-1",
            "; charset=",
            "; charset",
            ";",
            "; ",
            "; format=pandas",
            "; charset=utf-8; format=pandas",
        ),
        *("; charset=utf-8; charset=utf-16", " ", ";;", "; charset = utf-8", ", text/csv"),
    ]
    kinds = [JSON, CSV, parquet]
    types = [kind + parameter for kind in kinds for parameter in ["", *parameters]]
    types += ["", "json", "/", ";", "*/*", "text/json", "text/plain", "application/xml", "application/octet-stream"]
    types += ["APPLICATION/JSON", "Application/Json; charset=utf-8", "TEXT/CSV", "application/jsonl", "text/csv\t", "ä"]
    types += ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/problem+json"]
    bodies: dict[str, bytes] = {"JSON": body, "CSV": csv, "Parquet": stored.getvalue()}
    yield from (Case(f"{name} as {kind!r}", data, kind) for kind in types for name, data in bodies.items())
    yield from (Case(f"{name} without content type", data, None) for name, data in bodies.items())
    yield Case("Parquet: empty", b"", parquet)
    yield Case("Parquet: cut", stored.getvalue()[:-10], parquet)
    yield Case("Parquet: other columns", _parquet(pd.DataFrame({"further": [1.0]})), parquet)
    yield Case("Parquet: no rows", _parquet(frame.head(0)), parquet)


def _parquet(frame: Any) -> bytes:
    stored = io.BytesIO()
    frame.to_parquet(stored)
    return stored.getvalue()
