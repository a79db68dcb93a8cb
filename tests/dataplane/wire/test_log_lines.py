"""What others say in a line of a log is shown and never carried out."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataplane.wire.log_lines import ShownFormatter, configure, formatter, shown
from mlorch_site.launch.supervisor.logs import LogBook

ROOT = Path(__file__).resolve().parents[3]
HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\nERROR forged line\u202e\x9b31m"
ACTS = ("\x1b", "\x07", "\r", "\u202e", "\x9b")


@pytest.mark.parametrize("text", ["plain", "Zürich – 100 %", "a\tb", "日本", "😀"])
def test_text__that_does_nothing__stays(text):
    assert shown(text) == text


def test_text__that_acts__is_one_line_of_its_escapes():
    assert not any(act in shown(HOSTILE) for act in (*ACTS, "\n", "\u2028"))
    assert shown("\x1b[31m") == "\\x1b[31m"
    assert shown("\ud800") == "\\ud800"


def test_record__of_the_standard_library__is_escaped_and_keeps_the_lines_of_its_traceback():
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "said %s", (HOSTILE,), sys.exc_info())
    text = ShownFormatter("%(levelname)s %(message)s").format(record)

    assert not any(act in text for act in ACTS)
    assert text.startswith("ERROR said \\x1b[2J")
    assert "\n  Traceback" in text


PROGRAM = """
import sys
{prepare}
import structlog
log = structlog.get_logger("x")
hostile = {hostile!r}
log.info("request.refused", path=hostile, things=[hostile])
try:
    raise ValueError(hostile)
except ValueError:
    log.exception("broken")
"""
SITE = "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'mlorch_site.settings'; import django; django.setup()"


@pytest.mark.parametrize("prepare", [SITE, "from dataplane.wire import log_lines; log_lines.configure()"])
def test_process__logs_what_somebody_sent__escaped(prepare, tmp_path):
    program = PROGRAM.format(prepare=prepare, hostile=HOSTILE)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        check=True,
        env={"MLORCH_DATA_DIR": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
    )
    text = done.stdout.decode()

    assert not any(act in text for act in ACTS), text
    assert not any(line.startswith("ERROR forged") for line in text.splitlines())
    assert "Traceback" in text
    assert "\\x1b[2J" in text


def test_supervisor__line_of_a_child__is_escaped_on_the_screen_and_in_the_file(tmp_path, capsys):
    LogBook(tmp_path).line("worker", HOSTILE)

    for text in (capsys.readouterr().out, (tmp_path / "worker.log").read_text()):
        assert not any(act in text for act in ACTS)
        assert len(text.splitlines()) == 1


@pytest.mark.parametrize("prepare", [SITE, "from dataplane.wire import log_lines; log_lines.configure('json')"])
def test_process__json_wanted__each_line_is_an_object_with_what_is_bound_to_it(prepare, tmp_path):
    bound = "\nimport structlog; structlog.contextvars.bind_contextvars(request_id='r-1')"
    program = PROGRAM.format(prepare=prepare + bound, hostile=HOSTILE)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "MLORCH_LOG_FORMAT": "json", "MLORCH_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    refused, broken = [json.loads(line) for line in done.stdout.splitlines()]

    assert (refused["event"], refused["level"], refused["request_id"]) == ("request.refused", "info", "r-1")
    assert refused["path"] == HOSTILE
    assert "Traceback" in broken["exception"]
    assert not any(act in done.stdout for act in ACTS)


def test_record__json_wanted__is_an_object_too():
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "said %s", (HOSTILE,), None)
    told = json.loads(formatter("json").format(record))

    assert (told["event"], told["logger"], told["level"]) == (f"said {HOSTILE}", "x", "error")


@pytest.mark.parametrize("act", [formatter, configure])
def test_format__neither__is_refused_with_what_there_is(act):
    with pytest.raises(ValueError, match="text or json"):
        act("yaml")
