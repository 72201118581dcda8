"""Tables line up, and JSON is always JSON."""

import io
import json
import sys

import pytest

from elman.cli.output import emit, emit_json, write_anything
from elman.report.figures import table


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_what_the_encoding_cannot_say_is_written_with_a_backslash(monkeypatch: pytest.MonkeyPatch, encoding: str):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    write_anything()
    emit("→ caf\udce9")
    emit_json({"where": "→ caf\udce9/é"})
    sys.stdout.flush()
    plain, line = written.getvalue().decode(encoding).splitlines()
    assert plain == ("→ caf\\udce9" if encoding == "utf-8" else "\\u2192 caf\\udce9")
    assert json.loads(line) == {"where": "→ caf\udce9/é"}


def test_half_of_a_surrogate_pair_is_written_with_a_backslash(capsys):
    write_anything()
    emit("caf\udce9")
    emit_json({"where": "caf\udce9/m"})
    plain, line = capsys.readouterr().out.splitlines()
    assert plain == "caf\\udce9"
    assert json.loads(line) == {"where": "caf\udce9/m"}


def test_words_stand_left_and_numbers_right():
    assert table([("a", 1), ("long", 1234)], header=("name", "n")) == ["name      n", "a         1", "long  1,234"]


def test_values_as_a_person_reads_them():
    assert table([(None, True, 0.5, "x")]) == ["–  yes  0.5000  x"]


def test_a_table_without_rows_is_empty():
    assert table([]) == []
    assert table([], header=("name", "n")) == ["name  n"]


def test_what_json_cannot_say_becomes_null(capsys):
    emit_json({"loss": float("nan"), "rows": [(1, float("inf"))], "text": "é", 3: {"deep": -float("inf")}})
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "é" in line
    assert json.loads(line) == {"loss": None, "rows": [[1, None]], "text": "é", "3": {"deep": None}}
