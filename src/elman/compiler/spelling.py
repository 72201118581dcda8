"""Words of the language as text, with their options: `tanh`, `leaky_relu(slope=0.2)`."""

import ast
import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any

from elman.compiler.language import WORDS
from elman.compiler.starts import STARTS
from elman.compiler.value import OTHER_NAMES
from elman.errors import UsageError, nearest

HOW = "Write a word, and its options by name: leaky_relu(slope=0.2)."


class NotAWord(UsageError):
    """A text that is not an accepted word."""


def read_word(text: str, valid: Collection[str] | None = None) -> Callable[..., Any]:
    """Return the word that a text names, with the options that the text gives.

    >>> read_word("leaky_relu(slope=0.2)").keywords
    {'slope': 0.2}

    Args:
        text: a word, such as `tanh`, or a word with options, such as `leaky_relu(slope=0.2)`.
        valid: the words to accept; all of them if not given.

    Raises:
        UsageError: the text is not a word, the word is not accepted, or it does not have these options.
    """
    name, given, options = _parse(text)
    valid = WORDS if valid is None else valid
    if name not in valid:
        known = OTHER_NAMES.get(name)
        fix = f"It is called `{known}` here." if known in valid else nearest(name, valid)
        raise _not_a_word(name, fix)
    is_start = WORDS[name] in STARTS
    taken = _options_of(WORDS[name], with_required=is_start)
    # Initial values are spelled without the names of their options, as `str` shows them.
    most = len(taken) if is_start else 0
    if len(given) > most or set([*taken][: len(given)]) & set(options):
        fix = f"Write {name}({', '.join(taken)})." if is_start else HOW
        raise _not_a_word(text, fix)
    options = dict(zip(taken, given, strict=False)) | options
    for option, value in options.items():
        if option not in taken:
            fix = nearest(option, taken) if taken else f"`{name}` has no options."
            raise UsageError(f"The word `{name}` has no option `{option}`.", fix=fix)
        if not isinstance(value, taken[option]) and not _are_numbers(value, taken[option]()):
            kind = "a text" if taken[option] is str else "a number"
            raise UsageError(f"Expected {kind} for `{option}` of `{name}`, got {value!r}.", fix=HOW)
    if is_start and (missing := [option for option in _required(WORDS[name]) if option not in options]):
        fix = f"Write {name}({', '.join(taken)})."
        raise UsageError(f"The word `{name}` needs {' and '.join(f'`{each}`' for each in missing)}.", fix=fix)
    return functools.partial(WORDS[name], **options) if options else WORDS[name]


def _not_a_word(text: str, fix: str) -> NotAWord:
    return NotAWord(f"Expected a word of the cell language, got {text!r}.", fix=fix)


def _options_of(word: Callable[..., Any], *, with_required: bool) -> dict[str, type]:
    """Return the type of each option of a word, by name."""
    items = inspect.signature(word).parameters.values()
    found = {item.name: type(item.default) for item in items if item.default is not item.empty}
    return {name: str if name == "name" else float for name in _required(word)} | found if with_required else found


def _required(word: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters of a word that have no default."""
    return [item.name for item in inspect.signature(word).parameters.values() if item.default is item.empty]


def _are_numbers(*values: object) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _parse(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Return the word, its options without a name, and those by name."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        called, given, named = (tree.func, tree.args, tree.keywords) if isinstance(tree, ast.Call) else (tree, [], [])
        values = [ast.literal_eval(item) for item in given]
        options = {str(item.arg): ast.literal_eval(item.value) for item in named}
    except (SyntaxError, ValueError):
        raise _not_a_word(text, HOW) from None
    if not isinstance(called, ast.Name):
        raise _not_a_word(text, HOW)
    return called.id, values, options


def spell(function: Callable[..., Any]) -> str | None:
    """Return the text that `read_word` reads as this function, None if it is not a word.

    >>> from functools import partial
    >>> from elman import leaky_relu
    >>> spell(partial(leaky_relu, slope=0.2))
    'leaky_relu(slope=0.2)'
    """
    if not isinstance(function, functools.partial):
        return getattr(function, "__name__", None)
    name = getattr(function.func, "__name__", "")
    if function.args or WORDS.get(name) is not function.func:
        return None
    return f"{name}({', '.join(f'{option}={value!r}' for option, value in function.keywords.items())})"
