"""Settings of a translator that follow from its data, and the pairs that it learns from."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from elman.data.listing import listed
from elman.errors import DataError
from elman.settings import check_settings
from elman.tasks.choices import kind_of_tokens
from elman.tasks.task import Values
from elman.tasks.translate_texts import MARKS


def resolve_translator(settings: Any, values: Values, *, validated: bool) -> tuple[Any, list[str]]:
    """Return the settings without any that are left to the data, and what to say of it.

    Args:
        settings: of a translator.
        values: of the training set.
        validated: whether there is a validation set.
    """
    if settings.tokens != "auto":
        return settings, []
    sides = [kind_of_tokens(values.columns[name]) for name in ("source", "target")]
    tokens, note = "characters", ""
    if sides == ["words", "words"]:
        tokens = "subwords" if find_spec("sentencepiece") else "words"
        note = "" if tokens == "subwords" else " (subwords need sentencepiece: pip install 'elman[subwords]')"
    found = check_settings(type(settings), {**settings.model_dump(), "tokens": tokens})
    return found, [f"Each step is a {tokens.removesuffix('s')}{note}: --tokens changes it."]


def short_enough(settings: Any, encoded: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the pairs within the limits of the settings, and note the others.

    Args:
        settings: with `max_source_length` and `max_target_length`, in tokens without marks.
        encoded: columns of the training set by name.
        notes: of an encoder; a sentence is added.

    Raises:
        DataError: every pair is too long.
    """
    limits = {"source": settings.max_source_length, "target": settings.max_target_length}
    limits = {name: limit for name, limit in limits.items() if limit is not None and name in encoded}
    if not limits:
        return dict(encoded)
    lengths = {name: (encoded[name].lengths - MARKS).tolist() for name in limits}
    total = len(encoded["target"])
    long = [row for row in range(total) if any(lengths[name][row] > limit for name, limit in limits.items())]
    flags = " or ".join(f"max_{name}_length={limit}" for name, limit in limits.items())
    if len(long) == total:
        raise DataError(f"All {total:,} pairs are longer than {flags}.", fix="Give a larger limit, or none.")
    if not long:
        return dict(encoded)
    shown = ", ".join(listed([str(row + 1) for row in long]))
    are = "pair is" if len(long) == 1 else "pairs are"
    notes.append(f"{len(long):,} of {total:,} {are} longer than {flags} and left out of the training: {shown}.")
    left_out = set(long)
    kept = [row for row in range(total) if row not in left_out]
    return {name: column.select(kept) for name, column in encoded.items()}
