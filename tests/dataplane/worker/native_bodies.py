"""Request bodies drawn from a grammar: mostly good ones, and whatever is nearly one.

They are made as text, for JSON that Python cannot write.
"""

import json
import struct
from typing import Any

from hypothesis import strategies as st

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
ODD = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-0.0",
    "1",
    "-1",
    "1.0",
    "1.5",
    "1E2",
    "1e-2",
    "2147483647",
    "2147483648",
    "-2147483649",
    "16777217",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "9007199254740993.0",
    "-9007199254740992",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1180591620717411303424",
    "1e15",
    "1e16",
    "1e300",
    "3.4028235e38",
    "3.4028236e38",
    "1e39",
    "1e400",
    "-1e400",
    "5e-324",
    "1e-46",
    "1.0000000596046448",
    "0.1000000000000000055511151231257827021181583404541015625",
    "NaN",
    "Infinity",
    "-Infinity",
    "nan",
    "01",
    "+1",
    ".5",
    "1.",
    '"text"',
    '"1.5"',
    '"2"',
    '"true"',
    '"NaN"',
    '""',
    '"0"',
    '"2026-01-31"',
    '"2026-01-31T12:30:00+02:00"',
    '"\\ud800"',
    '"\\u0000"',
    '"\\ud83d\\ude00"',
    '"漢"',
    '"a\\/b"',
    "[1.0]",
    "[]",
    "[[1.0]]",
    "{}",
    '{"a":1}',
]
ODD += ["1" + "0" * 400, "1" * 5000, "0." + "3" * 900, '"a b"', "1 "]
WHOLE = {"long": (-(2**63), 2**63 - 1), "integer": (-(2**31), 2**31 - 1)}
DATATYPES = ("FP64", "FP64", "FP64", "FP32", "INT64", "BYTES", "fp64", None, 1)
TENSOR_PARAMETERS = (
    "{}",
    '{"content_type":"np"}',
    '{"binary_data_size":8}',
    '{"shared_memory_region":"r"}',
    "null",
    "[]",
)
REQUEST_FIELDS = (
    '"id":"a\\"b 漢"',
    '"id":""',
    '"id":7',
    '"id":null',
    '"parameters":{}',
    '"parameters":{"content_type":"pd","n":9007199254740993,"none":null}',
    '"parameters":{"deep":{"a":[1]}}',
    '"parameters":{"binary_data_output":true}',
    '"parameters":{"binary_data_output":false}',
    '"parameters":{"binary_data_output":1}',
    '"parameters":{"shared_memory_region":"r"}',
    '"parameters":null',
    '"parameters":[]',
    '"outputs":[]',
    '"outputs":[{"name":"predict"}]',
    '"outputs":[{"name":"zzz"}]',
    '"outputs":null',
    '"model_name":"m"',
    '"inputs":[]',
    '"instances":[1]',
)
INVOCATION_FIELDS = (
    '"params":{}',
    '"params":null',
    '"params":{"factor":2.5}',
    '"params":{"factor":"x"}',
    '"params":{"zzz":1}',
    '"inputs":{}',
    '"instances":[]',
    '"dataframe_split":null',
    '"id":"1"',
    '"signature_name":"serving_default"',
    '"unknown":[1]',
    '"":0',
)


def rarely(draw: Any, one_in: int) -> bool:
    return bool(draw(st.integers(0, one_in - 1)) == one_in - 1)


def good(kind: str) -> "st.SearchStrategy[str]":
    """JSON texts of one MLflow type."""
    if kind in WHOLE:
        return (st.integers(-100, 100) | st.integers(*WHOLE[kind])).map(str)
    if kind == "boolean":
        return st.sampled_from(["true", "false"])
    if kind == "string":
        return st.text(max_size=6).map(json.dumps) | st.text(max_size=3).map(
            lambda t: json.dumps(t, ensure_ascii=False)
        )
    narrow = st.floats(allow_nan=False, allow_infinity=False, width=32 if kind == "float" else 64)
    return st.floats(-1000, 1000).map(repr) | narrow.map(repr) | st.integers(-(10**6), 10**6).map(str)


@st.composite
def tables(draw: Any, names: "list[str]", kinds: "list[str]") -> "tuple[list[str], list[list[str]]]":
    """Draw names and rows of JSON texts: good ones, at times with a value, a length, or the columns wrong."""
    rows = [[draw(good(kind)) for kind in kinds] for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3, 0])))]
    names = list(names)
    if rows and rarely(draw, 2):
        draw(st.sampled_from(rows))[draw(st.integers(0, len(kinds) - 1))] = draw(st.sampled_from(ODD))
    if rows and rarely(draw, 10):
        row = draw(st.sampled_from(rows))
        row.append("1.0") if draw(st.booleans()) else row.pop()
    if rarely(draw, 8):
        order = draw(st.permutations(range(len(names))))
        if all(len(row) == len(names) for row in rows):
            names, rows = [names[place] for place in order], [[row[place] for place in order] for row in rows]
    if rarely(draw, 10):
        place = draw(st.integers(0, len(names) - 1))
        names, rows = draw(
            st.sampled_from(
                [
                    ([*names[:place], *names[place + 1 :]], [row[:place] + row[place + 1 :] for row in rows]),
                    ([*names, "further"], [[*row, "1.0"] for row in rows]),
                    ([*names, names[place]], [[*row, "1.0"] for row in rows]),
                    ([*names[:place], names[place].upper(), *names[place + 1 :]], rows),
                    ([*names[:place], "", *names[place + 1 :]], rows),
                ]
            )
        )
    return names, rows


def listed(items: "list[str]") -> str:
    return "[" + ",".join(items) + "]"


def mapped(names: "list[str]", values: "list[str]") -> str:
    return "{" + ",".join(f"{json.dumps(name)}: {value}" for name, value in zip(names, values, strict=False)) + "}"


def _with_fields(draw: Any, text: str, fields: "tuple[str, ...]") -> str:
    """An object with a further field before or behind its own, and at times damaged."""
    if rarely(draw, 4):
        field = draw(st.sampled_from(fields))
        text = "{" + (f"{field},{text[1:-1]}" if draw(st.booleans()) else f"{text[1:-1]},{field}") + "}"
    if rarely(draw, 30):
        damage = draw(st.sampled_from([" ", "\ufeff", "]", "{}", "\u0000", ","]))
        text = draw(st.sampled_from([text + damage, damage + text, text[:-1], text[1:], f"[{text}]"]))
    return text


@st.composite
def invocations(draw: Any, names: "list[str]", kinds: "list[str]") -> bytes:
    """Draw a body of MLflow's scoring protocol."""
    form = draw(st.sampled_from(FORMS))
    names, rows = draw(tables(names, kinds))
    if form == "dataframe_split":
        extra = draw(st.sampled_from(["", "", "", "", ',"index":[5]', ',"index":null', ',"zzz":1', ',"data":[]']))
        value = f'{{"columns":{json.dumps(names)},"data":{listed([listed(row) for row in rows])}{extra}}}'
    elif form == "inputs" and not rarely(draw, 6):
        columns = [[row[place] for row in rows if place < len(row)] for place in range(len(names))]
        nest = draw(
            st.sampled_from([listed, listed, listed, lambda c: c[0] if c else "[]", lambda c: f"[{listed(c)}]"])
        )
        value = mapped(names, [nest(column) for column in columns])
    else:
        value = listed([mapped(names, row) for row in rows])
    text = f'{{"{form}": {value}}}'
    return _with_fields(draw, text, INVOCATION_FIELDS).encode(errors="surrogatepass")


def _shaped(draw: Any, rows: "list[list[str]]", width: int) -> "tuple[list[int], str]":
    """Shape and data of a matrix: flat or nested."""
    flat = [item for row in rows for item in row]
    return [len(rows), width], listed([listed(row) for row in rows]) if draw(st.booleans()) else listed(flat)


def _column(draw: Any, values: "list[str]", is_nested: bool, is_wide: bool) -> "tuple[list[int], str]":
    shape = [len(values), 1] if is_wide else [len(values)]
    return shape, listed([f"[{value}]" for value in values]) if is_nested else listed(values)


def _tensor(draw: Any, name: str, shape: "list[int]", data: str) -> str:
    """A tensor, at times with something wrong."""
    datatype: Any = draw(st.sampled_from(DATATYPES)) if rarely(draw, 12) else "FP64"
    shape_text = json.dumps(shape, separators=(",", ":"))
    if rarely(draw, 12):
        odd = [
            f"[{len(shape)}]",
            "[]",
            "[1.0]",
            "[true]",
            "[-1]",
            "null",
            "1",
            f"{shape_text[:-1]},1]",
            shape_text.replace(",", " , "),
        ]
        shape_text = draw(st.sampled_from(odd))
    fields = [
        f'"name":{json.dumps(name)}',
        f'"shape":{shape_text}',
        f'"datatype":{json.dumps(datatype)}',
        f'"data":{data}',
    ]
    if rarely(draw, 10):
        fields.append(f'"parameters":{draw(st.sampled_from(TENSOR_PARAMETERS))}')
    if rarely(draw, 20):
        fields.append(
            draw(st.sampled_from(['"data":[1.0]', '"name":"x"', '"zzz":1', '"raw":"x"', '"datatype":"FP64"']))
        )
    if rarely(draw, 30):
        del fields[draw(st.integers(0, 3))]
    return "{" + ",".join(draw(st.permutations(fields)) if rarely(draw, 10) else fields) + "}"


@st.composite
def tensors(draw: Any, names: "list[str]", kinds: "list[str]") -> bytes:
    """Draw a request of OIP v2 in JSON: one tensor per column, or one matrix."""
    width = len(names)
    names, rows = draw(tables(names, kinds))
    if rarely(draw, 3):
        parts = [
            _tensor(
                draw, draw(st.sampled_from(["x", "x", "", names[0] if names else "y"])), *_shaped(draw, rows, width)
            )
        ]
    else:
        is_nested, is_wide = rarely(draw, 4), draw(st.booleans())
        columns = [[row[place] for row in rows if place < len(row)] for place in range(len(names))]
        parts = [
            _tensor(draw, name, *_column(draw, column, is_nested, is_wide))
            for name, column in zip(names, columns, strict=True)
        ]
    return _with_fields(draw, f'{{"inputs":{listed(parts)}}}', REQUEST_FIELDS).encode(errors="surrogatepass")


@st.composite
def binaries(draw: Any, names: "list[str]") -> "tuple[bytes, int]":
    """Draw a request of OIP v2 with raw tensors behind its JSON, and the length of the JSON; at times too long or too
    short.
    """
    value = st.floats(-1000, 1000) | st.floats() | st.sampled_from([2.0**53, -(2.0**53), -0.0, 5e-324])
    count = draw(st.integers(0, 3))
    names = names[::-1] if rarely(draw, 6) else names
    widths = [1] * len(names) if draw(st.booleans()) else [len(names)]
    parts, raw = [], b""
    for name, width in zip(names, widths, strict=False):
        data = struct.pack(f"<{count * width}d", *(draw(value) for _ in range(count * width)))
        data += b"\0" * draw(st.integers(1, 8)) if rarely(draw, 30) else b""
        shape = [count, width] if width > 1 or draw(st.booleans()) else [count]
        size = len(data) + draw(st.sampled_from([-8, 1, 8])) if rarely(draw, 30) else len(data)
        datatype = draw(st.sampled_from(["INT64", "FP32", "BYTES"])) if rarely(draw, 20) else "FP64"
        parameters = {"binary_data_size": size}
        parts.append({"name": name, "shape": shape, "datatype": datatype, "parameters": parameters})
        raw += data
    text = _with_fields(draw, json.dumps({"inputs": parts}), REQUEST_FIELDS).encode(errors="surrogatepass")
    return text + raw, len(text) + (draw(st.sampled_from([-1, 1, 8, 10**6])) if rarely(draw, 20) else 0)
