"""Spaces of settings to search: which are drawn, from where, and on which scale."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError, model_validator

from elman.errors import DataError, UsageError, os_errors_as
from elman.settings.base import Settings, check_settings, field_mistakes

Value = bool | int | float | str | None | tuple[Any, ...]
SettingsType = TypeVar("SettingsType", bound=Settings)
# Floats that are drawn have so many digits, so that a command line has few.
DIGITS = 3
_FIX = "Give a range {low = 0.001, high = 0.1, log = true} or a list of values [16, 32, 64] for each setting."


class Range(Settings):
    """Numbers from `low` to `high`: whole ones if both are.

    Attributes:
        low: the smallest.
        high: the largest.
        log: whether they are drawn on a logarithmic scale.
        step: between two of them; any number if not given.
        form: the text of a value that is a text, with {} for the number, such as `sparse({}, 0.1)`.
    """

    low: int | float
    high: int | float
    log: bool = Field(False, strict=True)
    step: int | float | None = Field(None, gt=0)
    form: str | None = None

    def __init__(self, *ends: float, **others: Any):
        super().__init__(**{**dict(zip(("low", "high"), ends, strict=False)), **others})

    @model_validator(mode="after")
    def _is_a_range(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"expected low < high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"expected low > 0 on a logarithmic scale, got {self.low}")
        if self.log and self.step is not None:
            raise ValueError("a logarithmic scale has no step")
        if self.form is not None and self.form.count("{}") != 1:
            raise ValueError(f"expected one {{}} in form, got {self.form!r}")
        return self

    @property
    def whole(self) -> bool:
        """Whether the numbers are integers."""
        return all(isinstance(each, int) for each in (self.low, self.high, self.step or 1))

    def value(self, drawn: float) -> Value:
        """Return the value of a setting for a number that was drawn."""
        number = int(drawn) if self.whole else float(f"{drawn:.{DIGITS}g}")
        return number if self.form is None else self.form.format(number)

    @property
    def ends(self) -> tuple[Value, ...]:
        """The first and the last value."""
        return self.value(self.low), self.value(self.high)


@dataclass(frozen=True)
class Choices:
    """Single values, of which one is drawn."""

    values: tuple[Value, ...]

    def value(self, drawn: int) -> Value:
        """Return the value of an index that was drawn."""
        return self.values[drawn]

    @property
    def ends(self) -> tuple[Value, ...]:
        """All values."""
        return self.values


@dataclass(frozen=True)
class Form:
    """A text with several drawn values, such as `sparse({spectral_radius}, {density})`.

    Attributes:
        text: with the names of the values in braces.
        parts: what is drawn, by these names.
    """

    text: str
    parts: Mapping[str, Range | Choices]

    @property
    def names(self) -> list[str]:
        """The names in braces, in their order in the text."""
        return re.findall(r"\{(\w*)\}", self.text)

    def value(self, drawn: Mapping[str, Any]) -> Value:
        """Return the text for the values that were drawn, by name."""
        return self.text.format(**{name: part.value(drawn[name]) for name, part in self.parts.items()})

    @property
    def ends(self) -> tuple[Value, ...]:
        """The texts of all first values and of all last values."""
        ends = {name: part.ends for name, part in self.parts.items()}
        return tuple(self.text.format(**{name: each[at] for name, each in ends.items()}) for at in (0, -1))


Domain = Range | Choices | Form
Space = Mapping[str, Domain]


def drawn_of(space: Space) -> dict[str, Range | Choices]:
    """Return what is drawn for a space, in which each part of a text has a name of its own.

    >>> list(drawn_of({"start": Form("uniform({low}, {high})", {"low": Range(-1.0, 0.0), "high": Range(0.0, 1.0)})}))
    ['start.low', 'start.high']
    """
    found: dict[str, Range | Choices] = {}
    for name, domain in space.items():
        found |= (
            {f"{name}.{key}": part for key, part in domain.parts.items()}
            if isinstance(domain, Form)
            else {name: domain}
        )
    return found


def values_from(space: Space, drawn: Mapping[str, Any]) -> dict[str, Value]:
    """Return the values of the settings of which everything was drawn."""
    found: dict[str, Value] = {}
    for name, domain in space.items():
        if isinstance(domain, Form):
            parts = {key: drawn[f"{name}.{key}"] for key in domain.parts if f"{name}.{key}" in drawn}
            found |= {name: domain.value(parts)} if len(parts) == len(domain.parts) else {}
        elif name in drawn:
            found[name] = domain.value(drawn[name])
    return found


def numbers_of(text: Any, form: str) -> list[int | float]:
    """Return the numbers of a text at the braces of a form, none if the text differs from it.

    >>> numbers_of("sparse(0.9, 0.1)", "sparse({}, 0.1)"), numbers_of("ring(0.9)", "sparse({}, 0.1)")
    ([0.9], [])
    """
    pattern = r"([^,()]+)".join(map(re.escape, re.split(r"\{\w*\}", form)))
    found = re.fullmatch(pattern, str(text))
    try:
        return [json.loads(each) for each in found.groups()] if found else []
    except ValueError:
        return []


def space_of(settings: Settings) -> dict[str, Domain]:
    """Return what is searched for settings like these.

    It is the `space` of their class and of its bases, or their `closed_form_space` if the output layer is solved for,
    with the options of the cell in `cell_spaces`. Settings that do not go together with these are left out.

    Args:
        settings: of the class, as they are without a search.

    >>> from elman.settings.training import TrainingSettings
    >>> sorted(space_of(TrainingSettings()))
    ['batch_size', 'learning_rate']
    """
    name = "closed_form_space" if getattr(settings, "closed_form", False) else "space"
    found: dict[str, Domain] = {}
    for base in reversed(type(settings).__mro__):
        found |= vars(base).get(name, {})
        found |= vars(base).get("cell_spaces", {}).get(getattr(settings, "cell", None), {})
    kept = (each for each in found.items() if setting_of(each[0]) in type(settings).model_fields)
    return {key: domain for key, domain in kept if _fits(settings, key, domain)}


def setting_of(name: str) -> str:
    """Return the setting of a name in a space, such as `cell_options` of `cell_options.leak`."""
    return name.partition(".")[0]


def with_values(settings: Mapping[str, Any], drawn: Mapping[str, Value]) -> dict[str, Any]:
    """Return settings with the values of a trial.

    >>> with_values({"cell_options": {"bias_scaling": 0.1}}, {"cell_options.leak": 0.5, "seed": 1})
    {'cell_options': {'bias_scaling': 0.1, 'leak': 0.5}, 'seed': 1}
    """
    found = dict(settings)
    for name, value in drawn.items():
        outer, dot, inner = name.partition(".")
        found[outer] = {**(found.get(outer) or {}), inner: value} if dot else value
    return found


def changed(settings: SettingsType, drawn: Mapping[str, Value]) -> SettingsType:
    """Return settings of the same class with the values of a trial, checked.

    Raises:
        UsageError: they do not go together.
    """
    return check_settings(type(settings), with_values(settings.model_dump(), drawn))


def read_space(path: Path, settings: type[Settings]) -> dict[str, Domain]:
    """Read a space from a file in TOML or JSON.

    Each setting has a table with `low` and `high`, and `log`, `step` or `form` if need be; or a list of values; or a
    table with a `form` and a range or list for each name in its braces.

    Args:
        path: ends in .toml or .json.
        settings: whose fields the names and values must fit.

    Raises:
        DataError: the file cannot be read.
        UsageError: names everything that is wrong in it.
    """
    with os_errors_as(DataError, f"The space {path} cannot be read", fix="Give a file in TOML or JSON."):
        content = path.read_text(encoding="utf-8")
    try:
        written = json.loads(content) if path.suffix.lower() == ".json" else tomllib.loads(content)
    except ValueError as error:
        raise DataError(f"The space {path} cannot be read: {error}.", fix=_FIX) from None
    if not isinstance(written, dict) or not written:
        raise UsageError(f"The space {path} has no settings.", fix=_FIX)
    space, mistakes = _parsed(written)
    mistakes += [mistake for name, domain in space.items() for mistake in _mistakes(settings, name, domain)]
    if mistakes:
        raise UsageError(f"The space {path} is wrong.", where="\n".join(mistakes), fix=_FIX)
    return space


def described(space: Space) -> dict[str, Any]:
    """Return a space as JSON holds it."""
    return {name: _described(domain) for name, domain in space.items()}


def _described(domain: Domain) -> Any:
    if isinstance(domain, Form):
        return {"form": domain.text, **{name: _described(part) for name, part in domain.parts.items()}}
    return list(domain.values) if isinstance(domain, Choices) else domain.model_dump()


def _parsed(written: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, Any], list[str]]:
    space, mistakes = {}, []
    for key, each in written.items():
        name = f"{prefix}{key}"
        if isinstance(each, list) and each:
            space[name] = Choices(tuple(tuple(value) if isinstance(value, list) else value for value in each))
        elif isinstance(each, dict) and isinstance(each.get("form"), str) and "low" not in each:
            parts, wrong = _parsed({part: value for part, value in each.items() if part != "form"})
            form = Form(each["form"], parts)
            if {*form.names} != parts.keys() and not wrong:
                wrong = [
                    f"expected a range or a list for each name in {each['form']!r}, got {', '.join(parts) or 'none'}."
                ]
            mistakes += [f"{name}: {mistake}" for mistake in wrong]
            if not wrong:
                space[name] = form
        elif isinstance(each, dict) and "low" not in each and "high" not in each and not prefix:
            # The options of a cell: [cell_options.leak] in TOML is a table within a table.
            inner, wrong = _parsed(each, f"{name}.")
            space, mistakes = {**space, **inner}, mistakes + wrong
        elif isinstance(each, dict):
            try:
                space[name] = Range.model_validate(each)
            except ValidationError as error:
                mistakes.append(f"{name}: {_reason(error)}")
        else:
            mistakes.append(f"{name}: expected a range or a list of values, got {each!r}.")
    return space, mistakes


def _reason(error: ValidationError) -> str:
    found = error.errors()[0]
    where = f"{found['loc'][0]}: " if found["loc"] else ""
    return f"{where}{found['msg'].removeprefix('Value error, ')}."


def _mistakes(settings: type[Settings], name: str, domain: Domain) -> Iterator[str]:
    for value in domain.ends:
        wrong = field_mistakes(settings, with_values({}, {name: value}))
        if wrong:
            yield wrong[0]
            return


def _fits(settings: Settings, name: str, domain: Domain) -> bool:
    for value in domain.ends:
        try:
            changed(settings, {name: value})
        except UsageError:
            return False
    return True
