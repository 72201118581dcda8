"""The flags that are settings: made from the fields of their classes, so that each is described once."""

import re
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from elman.errors import UsageError
from elman.settings import Settings, fields_of, summary_of

_WORDS = {int: "N", float: "F", str: "NAME", Path: "FILE"}


class Flag(NamedTuple):
    """One flag.

    Attributes:
        name: of the setting; `spelling` makes the flag of it.
        kinds: types of its value: `bool`, `int`, `float`, `str`, `dict`, `tuple`, or words to choose from.
        default: of the setting.
        help: one line.
        metavar: how the help shows its value.
    """

    name: str
    kinds: tuple[Any, ...]
    default: Any
    help: str
    metavar: str


def flags_of(settings: type[Settings], *, without: Iterable[str] = ()) -> tuple[Flag, ...]:
    """Return a flag for each setting of a class, in order.

    Args:
        settings: the class.
        without: settings that have no flag.
    """
    return tuple(_flag(name, field) for name, field in fields_of(settings).items() if name not in set(without))


def spelling(flag: Flag) -> str:
    """Return the flag as it is typed.

    >>> from elman.settings.training import TrainingSettings
    >>> [spelling(flag) for flag in flags_of(TrainingSettings) if flag.name in ("bucketing", "clip_norm")]
    ['--clip-norm', '--no-bucketing']
    """
    return f"--{'no-' * (flag.default is True)}{flag.name.replace('_', '-')}"


def option_of(flag: Flag) -> Any:
    """Return the annotation by which typer reads the flag."""
    single = flag.kinds[0] if len(flag.kinds) == 1 and flag.kinds[0] in (bool, int, float) else str
    # Where the data decide, both can be said.
    either = f"{spelling(flag)}/--no-{flag.name.replace('_', '-')}"
    option = typer.Option(
        either if single is bool and flag.default is None else spelling(flag),
        metavar=None if single is bool else flag.metavar,
        show_default=False,
        help=help_of(flag),
    )
    return Annotated[single | None, option]


def help_of(flag: Flag) -> str:
    """Return the line of help, with the words to choose from and the default."""
    if bool in flag.kinds:
        return flag.help if not flag.default else f"Do not {flag.help[0].lower()}{flag.help[1:]}"
    shown = _shown(flag.default)
    choices = ", ".join(word for kind in flag.kinds for word in _choices(kind))
    # The default that the data decide is in brackets at the end.
    said, bracket, default = flag.help.partition(" [")
    line = f"{said.removesuffix('.')}: {choices}.{bracket}{default}" if choices and len(flag.kinds) == 1 else flag.help
    return f"{line} [{shown}]" if shown else line


def value_of(flag: Flag, typed: Any) -> Any:
    """Return the value of a flag as its setting takes it.

    Raises:
        UsageError: a list or a list of options that cannot be read.
    """
    if bool in flag.kinds:
        return typed if flag.default is None else flag.default is not True
    if not isinstance(typed, str):
        return typed
    if tuple in flag.kinds:
        return _items(flag, typed)
    if dict in flag.kinds and ("=" in typed or float not in flag.kinds):
        return _pairs(flag, typed)
    return _number(typed) if {int, float} & set(flag.kinds) else typed


def given_values(flags: Iterable[Flag], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that were typed, by name."""
    return {flag.name: value_of(flag, values[flag.name]) for flag in flags if values.get(flag.name) is not None}


def words_of(flag: Flag, value: Any) -> list[str]:
    """Return the words of a command line that give a setting this value, none for its default.

    >>> from elman.settings.training import TrainingSettings
    >>> flags = {flag.name: flag for flag in flags_of(TrainingSettings)}
    >>> words_of(flags["learning_rate"], 0.01) + words_of(flags["bucketing"], False) + words_of(flags["seed"], 0)
    ['--learning-rate', '0.01', '--no-bucketing']
    """
    if value == flag.default:
        return []
    if isinstance(value, bool):
        # A flag says the contrary of its default; one without a default has both forms.
        return [f"--no-{flag.name.replace('_', '-')}" if not value else f"--{flag.name.replace('_', '-')}"]
    if isinstance(value, Mapping):
        return [spelling(flag), ",".join(f"{name}={_typed(each)}" for name, each in value.items())]
    if isinstance(value, list | tuple):
        return [spelling(flag), ",".join(map(_typed, value)) or "none"]
    return [spelling(flag), _typed(value)]


def _typed(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _flag(name: str, field: FieldInfo) -> Flag:
    # A class of settings is checked whole, so that its limits need not be part of the flags.
    kinds, words = zip(*_parts(field.annotation), strict=True)
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    line = summary_of(field.description)
    if default is None and (by_data := re.search(r"By default (.+?)\.(?:\s|$)", field.description or "")):
        line = f"{line} [{by_data[1]}]"
    # Words of a text are not names to choose from.
    own = field.json_schema_extra.get("metavar") if isinstance(field.json_schema_extra, dict) else None
    return Flag(name, kinds, default, line, str(own or "|".join(dict.fromkeys(words))))


def _parts(annotation: Any) -> list[tuple[Any, str]]:
    """Return the types of a setting's values, each with its word in a help text."""
    origin, inner = get_origin(annotation), list(get_args(annotation))
    if origin is Annotated:
        return _parts(inner[0])
    if origin in (Union, types.UnionType):
        return [part for each in inner if each is not type(None) for part in _parts(each)]
    if origin is Literal:
        return [(annotation, "NAME" if len(inner) > 1 else str(inner[0]))]
    if origin is dict:
        values = _parts(inner[1])
        return [(dict, f"NAME={values[0][1] if len(values) == 1 else 'VALUE'},…")]
    if origin is tuple:
        return [(tuple, ",".join(_parts(each)[0][1] if each is not Ellipsis else "…" for each in inner))]
    return [(annotation, _WORDS.get(annotation, ""))]


def _choices(kind: Any) -> tuple[str, ...]:
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return "" if default is None or default == {} else f"{default:g}" if isinstance(default, float) else str(default)


def _items(flag: Flag, typed: str) -> tuple[int | float | str, ...]:
    words = [word.strip() for word in typed.split(",")]
    if words == ["none"]:
        return ()
    if not all(words):
        raise UsageError(
            f"{spelling(flag)} {typed!r} is not a list.",
            fix=f"Write it as {spelling(flag)} {flag.metavar}, without blanks.",
        )
    # A list of names may have numbers among them, which are names too.
    return tuple(word if flag.metavar.startswith(("NAME", "TEXT", "WORD")) else _number(word) for word in words)


def _pairs(flag: Flag, typed: str) -> Mapping[str, bool | int | float | str]:
    # A value may have commas of its own: recurrent=sparse(0.9, 0.1).
    pairs = [word.partition("=") for word in re.split(r",(?![^(]*\))", typed)]
    if not all(name.strip() and sign for name, sign, _ in pairs):
        raise UsageError(
            f"{spelling(flag)} {typed!r} is not a list of options.",
            fix=f"Write it as {spelling(flag)} {flag.metavar}",
        )
    found = {name.strip(): _value(text.strip()) for name, _, text in pairs}
    if len(found) < len(pairs):
        raise UsageError(f"{spelling(flag)} {typed!r} has a name twice.", fix="Give each name once.")
    return found


def _value(text: str) -> bool | int | float | str:
    return text.lower() == "true" if text.lower() in ("true", "false") else _number(text)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
