"""Settings of a classifier that follow from its data."""

from collections.abc import Sequence
from itertools import islice
from statistics import fmean
from typing import Any

from elman.errors import UsageError
from elman.settings import check_settings
from elman.settings.series import SeriesSettings

# Texts that are looked at to find what a step is.
LOOKED_AT = 10_000
# Words are longer than this on average only where no blanks are between them.
LONGEST_WORD = 25
# Words of a text, on average, of phrases and of sentences; phrases repeat their words, names do so less.
PHRASES, SENTENCES, REPEATED = 2, 4, 0.4
# Rows that all epochs have together, and tokens that they have at most.
ROWS, TOKENS = 60_000, 15_000_000
EPOCHS = range(4, 21)
FEWEST_TO_HOLD_OUT = 100
HELD_OUT = 0.1
PATIENCE = 6

# By what a step is.
DEFAULTS: dict[str, dict[str, Any]] = {
    "words": {
        "lower_case": True,
        "input_dropout": 0.2,
        "token_dropout": 0.1,
        "rare_dropout": 0.5,
        "embedding_deviation": 0.1,
    },
    "characters": {"lower_case": False, "input_dropout": 0.2, "token_dropout": 0.0, "rare_dropout": 0.0},
    "values": {"lower_case": False, "input_dropout": 0.0, "token_dropout": 0.0, "rare_dropout": 0.0},
}


def resolve_classifier(settings: Any, values: Sequence[Any], *, validated: bool) -> tuple[Any, list[str]]:
    """Return the settings without any that are left to the data, and what to say of it.

    Args:
        settings: of a classifier.
        values: of the training set: texts, or arrays.
        validated: whether there is a validation set.

    Raises:
        UsageError: settings of sequences of numbers are given for texts.
    """
    found: dict[str, Any] = {}
    notes: list[str] = []
    tokens = settings.tokens
    if tokens == "auto":
        tokens = found["tokens"] = _tokens_of(settings, values)
        if tokens != "values":
            notes.append(f"Each step is a {tokens.removesuffix('s')}: --tokens changes it.")
    if tokens != "values":
        _refuse_series_settings(settings)
    kind = {"subwords": "words", "bytes": "characters"}.get(tokens, tokens)
    if settings.vectors is not None and settings.lower_case is None:
        # Words are looked up as they are written, and then in lower case.
        found["lower_case"] = False
    defaults = dict(DEFAULTS[kind])
    one_hot = settings.embedding == "one-hot"
    if one_hot:
        defaults |= {"token_dropout": 0.0, "rare_dropout": 0.0}
    if one_hot or settings.ngrams > 1 or settings.vectors is not None:
        # The network's own start: n-grams have theirs, and vectors have that of their file.
        defaults.pop("embedding_deviation", None)
    found = {**{name: value for name, value in defaults.items() if getattr(settings, name) is None}, **found}
    if tokens == "values" and settings.scaling is None:
        found["scaling"] = "standard"
    if settings.validation_fraction is None:
        found["validation_fraction"] = 0.0 if validated or len(values) < FEWEST_TO_HOLD_OUT else HELD_OUT
    if settings.patience is None and (validated or found.get("validation_fraction", settings.validation_fraction)):
        found["patience"] = PATIENCE
    if settings.epochs is None:
        found["epochs"] = _epochs(values, tokens)
    if not found:
        return settings, []
    return check_settings(type(settings), {**settings.model_dump(), **found}), notes


def _refuse_series_settings(settings: Any) -> None:
    """Refuse settings of sequences of numbers that differ from their defaults."""
    fields = SeriesSettings.model_fields
    given = [name for name, field in fields.items() if getattr(settings, name, field.default) != field.default]
    if given:
        raise UsageError(
            "Expected texts without settings of sequences of numbers, got some of these settings.",
            where=", ".join(f"{name} (--{name})" for name in given),
            fix="Leave these settings out, or give sequences of numbers.",
        )


def kind_of_tokens(texts: Sequence[str]) -> str:
    """Return `words` for sentences and phrases, else `characters`.

    Texts without blanks, such as those in Chinese, are read by characters too.

    >>> kind_of_tokens(["a fine film , really", "not so good , really", "it is dull , really"])
    'words'
    >>> kind_of_tokens(["Smith", "Li"])
    'characters'
    """
    words = [word for text in islice(texts, LOOKED_AT) for word in text.split()]
    each = len(words) / max(1, min(len(texts), LOOKED_AT))
    if not words or fmean(map(len, words)) > LONGEST_WORD or each < PHRASES:
        return "characters"
    return "words" if each >= SENTENCES or len(set(words)) < REPEATED * len(words) else "characters"


def _tokens_of(settings: Any, values: Sequence[Any]) -> str:
    if settings.alphabet or settings.ngrams > 1:
        return "characters"
    if settings.vectors is not None or settings.split != "punctuation":
        return "words"
    texts = [value for value in islice(values, LOOKED_AT) if isinstance(value, str)]
    return kind_of_tokens(texts) if texts else "values"


def _epochs(values: Sequence[Any], tokens: str) -> int:
    """Return the number of epochs: more for few rows, fewer for long ones."""
    rows = max(len(values), 1)
    some = list(islice(values, LOOKED_AT))
    length = fmean(_length(each, tokens) for each in some) if some else 1
    least, most = EPOCHS[0], EPOCHS[-1]
    wanted = min(max(round(ROWS / rows), least), most)
    return max(2, min(wanted, round(TOKENS / max(rows * length, 1))))


def _length(value: Any, tokens: str) -> int:
    """Return the steps of a value, 1 for a value that the encoder will refuse."""
    if isinstance(value, str):
        return len(value.split()) if tokens in ("words", "subwords") else len(value)
    return len(value) if hasattr(value, "__len__") else 1
