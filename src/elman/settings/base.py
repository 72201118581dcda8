"""Settings checked whole: every mistake of one call in one message, each with its repair."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from elman.errors import UsageError, nearest

SettingsType = TypeVar("SettingsType", bound=BaseModel)
# How pydantic names one of several types in the location of a mistake.
_TRIED = re.compile(r"str|int|float|bool|constrained-\w+|\w+\[.*\]")


class Conflict(NamedTuple):
    """Settings that are each valid and do not go together."""

    fields: tuple[str, ...]
    problem: str


class ConflictsError(ValueError):
    """What a model validator raises, so that `check_settings` can name every conflict on a line of its own."""

    def __init__(self, conflicts: Sequence[Conflict]):
        super().__init__("; ".join(f"{', '.join(fields)}: {problem}" for fields, problem in conflicts))
        self.conflicts = list(conflicts)


class Settings(BaseModel):
    """A frozen set of named settings, without unknown names and numbers that are not finite.

    A class whose settings do not all go together says so in a method `_conflicts`, which yields a `Conflict` for each
    such mistake; those of all its base classes are asked too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="after")
    def _all_go_together(self) -> Self:
        methods = [vars(cls)["_conflicts"] for cls in type(self).__mro__ if "_conflicts" in vars(cls)]
        if conflicts := [conflict for method in methods for conflict in method(self)]:
            raise ConflictsError(conflicts)
        return self


def check_settings(cls: type[SettingsType], values: Mapping[str, Any]) -> SettingsType:
    """Return settings made of these values, or name everything wrong with them.

    Args:
        cls: the pydantic model; its model validators may raise `ConflictsError`.
        values: name to value; a name that is left out takes its default.

    Raises:
        UsageError: a line for each mistake: the field, what was expected, what it got, the nearest valid name.

    >>> class Layer(Settings):
    ...     hidden_size: int
    >>> check_settings(Layer, {"hidden_sise": 3})
    Traceback (most recent call last):
        ...
    elman.errors.UsageError: 2 settings of Layer are wrong.
      hidden_size: is missing.
      hidden_sise: there is no such setting. Did you mean `hidden_size`? Valid: hidden_size.
    Correct these settings; nothing was done yet.
    """
    try:
        return cls.model_validate(dict(values))
    except ValidationError as error:
        mistakes = [*_field_mistakes(cls, error), *_conflicts(cls, values, error)]
    subject = cls.model_config.get("title") or cls.__name__
    raise UsageError(
        f"{len(mistakes)} settings of {subject} are wrong."
        if len(mistakes) > 1
        else f"A setting of {subject} is wrong.",
        where="\n".join(mistakes),
        fix="Correct these settings; nothing was done yet." if len(mistakes) > 1 else "Correct this setting.",
    ) from None


def field_mistakes(cls: type[BaseModel], values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with each value by itself, a line each."""
    try:
        cls.model_validate(dict(values))
    except ValidationError as error:
        return _field_mistakes(cls, error)
    return []


def summary_of(description: str | None) -> str:
    """Return the first sentence of a setting's description: its line in a command's help.

    >>> summary_of("Passes over the data. One sees each example once.")
    'Passes over the data.'
    """
    return re.split(r"(?<=\.)\s", description or "", maxsplit=1)[0]


def fields_of(cls: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the settings of a class in the order of its base classes, its own last."""
    order: dict[str, None] = {}
    for base in cls.__bases__:
        if issubclass(base, BaseModel):
            order |= dict.fromkeys(fields_of(base))
    return {name: cls.model_fields[name] for name in order | dict.fromkeys(cls.model_fields)}


def describe_settings(cls: type[BaseModel]) -> str:
    """Return the `Args:` part of a docstring, with the default and description of each setting."""
    return "\n".join(["Args:", *(f"    {_described(name, field)}" for name, field in fields_of(cls).items())])


def _described(name: str, field: FieldInfo) -> str:
    default = "" if field.is_required() else f" [{field.get_default(call_default_factory=True)!r}]"
    return f"{name}: {field.description}{default}"


def _field_mistakes(cls: type[BaseModel], error: ValidationError) -> list[str]:
    found: dict[str, list[str]] = {}
    for detail in error.errors():
        if detail["loc"]:
            found.setdefault(_field(detail["loc"]), []).append(_reason(cls, detail))
    # A mistake within a value explains more than that no type fits it.
    inner = {field.partition(".")[0] for field in found if "." in field}
    return [f"{field}: {_either(reasons)}" for field, reasons in found.items() if field not in inner]


def _field(location: Sequence[int | str]) -> str:
    """Return the field of a mistake, without the types that pydantic tried."""
    return ".".join(str(part) for part in location if not _TRIED.fullmatch(str(part)))


def _either(reasons: Sequence[str]) -> str:
    """Return one sentence on a value that fits none of several types."""
    parts = [re.fullmatch(r"expected (.*)[,;] got (.*)\.", reason) for reason in reasons]
    if len(reasons) == 1 or not all(parts):
        return reasons[0]
    return f"expected {' or '.join(part[1] for part in parts if part)}, got {parts[0][2]}."  # pyright: ignore[reportOptionalSubscript]


def _reason(cls: type[BaseModel], detail: Mapping[str, Any]) -> str:
    if detail["type"] == "missing":
        return "is missing."
    if detail["type"] == "extra_forbidden":
        return f"there is no such setting. {nearest(detail['loc'][-1], cls.model_fields)}"
    got = repr(detail["input"])
    if detail["type"] == "literal_error":
        options = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        if len(options) == 1:
            return f"expected {options[0]}, got {got}."
        guess = nearest(detail["input"], options).rpartition("Valid: ")[0]
        return f"expected one of {', '.join(options)}; got {got}. {guess}".rstrip()
    message = detail["msg"].removeprefix("Value error, ")
    if not (found := re.match(r"Input should be (.*?)(?:, unable.*)?$", message)):
        return f"{message}; got {got}."
    expected = re.sub(r"^(?=greater|less)", "a value ", re.sub("^a valid (?=[aeiou])", "an ", found[1]))
    return f"expected {expected.replace('a valid', 'a')}, got {got}."


def _conflicts(cls: type[BaseModel], values: Mapping[str, Any], error: ValidationError) -> list[str]:
    """Return conflicts among valid settings: those with a wrong one would mislead."""
    wrong = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
    if wrong:
        try:
            cls.model_validate({name: value for name, value in values.items() if name not in wrong})
        except ValidationError as remaining:
            error = remaining
        else:
            return []
    raised = [detail.get("ctx", {}).get("error") for detail in error.errors() if not detail["loc"]]
    conflicts = [conflict for one in raised if isinstance(one, ConflictsError) for conflict in one.conflicts]
    return [f"{', '.join(fields)}: {problem}" for fields, problem in conflicts if not wrong & set(fields)]
