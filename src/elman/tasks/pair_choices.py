"""Settings of a comparer that follow from its data."""

from typing import Any

from elman.errors import UsageError
from elman.settings import check_settings
from elman.tasks.choices import resolve_classifier
from elman.tasks.pair_targets import kinds_of
from elman.tasks.task import Values


def resolve_comparer(settings: Any, values: Values, *, validated: bool) -> tuple[Any, list[str]]:
    """Return the settings without any that are left to the data, and what to say of it.

    Args:
        settings: of a comparer.
        values: of the training set.
        validated: whether there is a validation set.

    Raises:
        UsageError: the values are triplets, and another objective was given.
    """
    objective = values.settings.get("objective", settings.objective)
    if objective != settings.objective:
        raise UsageError(
            f"Expected the objective triplet with a column of third texts (--negative), got {settings.objective}.",
            fix="Give --objective triplet, or name the column of the answers with --target in place of --negative.",
        )
    settings, notes = resolve_classifier(settings, values.columns["first"], validated=validated)
    answers = settings.objective == "answer"
    reads_tokens = settings.tokens != "values"
    found: dict[str, Any] = {}
    if settings.attention is None:
        found["attention"] = answers and settings.shared
    if settings.matches is None:
        found["matches"] = answers and settings.shared and reads_tokens and settings.ngrams == 1
    if settings.symmetric is None:
        found["symmetric"] = settings.shared and (
            not answers or set(kinds_of(settings, values.columns["target"])) == {"number"}
        )
    if settings.wide != "off" and not (answers and settings.shared and reads_tokens):
        found["wide"] = "off"
    if not answers and settings.ensemble > 1:
        found["ensemble"] = 1
        notes.append("An ensemble is only for the objective answer: one network is trained.")
    return check_settings(type(settings), {**settings.model_dump(), **found}), notes
