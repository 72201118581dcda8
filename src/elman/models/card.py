"""The card of a model: what it is, what it was trained on, how well it does, and how to repeat it."""

from collections.abc import Mapping, Sequence
from typing import Any

from elman.report.figures import figure, versions


def write_card(
    *,
    name: str,
    summary: str,
    data: Mapping[str, Any],
    scores: Mapping[str, float | int],
    settings: Mapping[str, tuple[Any, str]],
    use: Sequence[str],
    command: str | None = None,
) -> str:
    """Return the card of a model: what it is, its use, data, scores, settings and versions.

    Args:
        name: the title, usually the name of the folder.
        summary: one sentence on what the model does.
        data: what it was trained and evaluated on, a word or number for each heading.
        scores: name to value; fractions such as the accuracy are given from 0 to 1.
        settings: every setting, the seed among them: its value and what it means.
        use: commands that use the model.
        command: the command that repeats the run.

    Returns:
        Markdown, with the front matter that model collections read.
    """
    commands = "\n".join(use)
    return (
        "\n".join(
            [
                "---\nlibrary_name: elman\ntags:\n- recurrent-neural-network\n---",
                f"# {name}\n\n{summary}\n",
                f"## Use\n\n```\n{commands}\n```\n",
                _card_table("Data", data),
                _card_table("Scores", scores),
                _card_table("Settings", settings),
                _card_table("Versions", versions()),
                f"## Repeat\n\n```\n{command}\n```\n" if command else "",
            ]
        ).rstrip("\n")
        + "\n"
    )


def _card_table(title: str, rows: Mapping[str, Any]) -> str:
    """Return a table of names and values, with a third column for what the values mean."""
    lines = [[name, *value] if isinstance(value, tuple) else [name, value] for name, value in rows.items()]
    body = "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)
    width = max((len(line) for line in lines), default=2)
    return f"## {title}\n\n{'| ' * width}|\n{'|---' * width}|\n{body}"


def _cell(value: Any) -> str:
    return figure(value, trim=True).replace("|", r"\|").replace("\n", " ")
