"""The page of settings is made from the settings: `pytest --update-golden` writes it."""

from pathlib import Path

import pytest

from elman.report.figures import figure
from elman.settings import fields_of
from elman.tasks import TASKS, find_task

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"
HEAD = """# Settings

Every setting of every task: the name in Python, which is also the flag (`hidden_size` is `--hidden-size`; one that is
on is turned off by `--no-` and its name), its default, and what it does. `help(elman.SequenceClassifier)` and
`elman train TASK --help` say the same.
"""


def tables() -> str:
    parts = [HEAD]
    for name in TASKS:
        task = find_task(name)
        rows = [
            (f"`{key}`", figure(field.get_default(call_default_factory=True), trim=True) or "–", str(field.description))
            for key, field in fields_of(task.settings_class).items()
        ]
        lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
        parts.append(
            "\n".join([f"## {name}: {task.summary}\n", "| setting | default | |", "|---|---|---|", *lines]) + "\n"
        )
    return "\n".join(parts)


def test_the_page_has_every_setting_as_it_is(request: pytest.FixtureRequest):
    if request.config.getoption("--update-golden"):
        PAGE.write_text(tables(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == tables()
