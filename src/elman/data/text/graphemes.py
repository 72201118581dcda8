"""What a reader takes for one character: a letter with its marks, an emoji of several code points."""

from collections.abc import Iterable, Iterator

import regex

# What joins a code point to the one before it, or, rarely, to the one after it; elsewhere each stands for itself.
_JOINING = regex.compile(
    r"[\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}\p{GCB=Prepend}\p{GCB=Regional_Indicator}\p{GCB=L}\p{GCB=V}\p{GCB=T}]"
)
_ENDLESS = 2**16
_CHARACTER = regex.compile(r"\r|\X")


def are_code_points(text: str) -> bool:
    """Say whether each character of a text is one code point."""
    return text.isascii() or _JOINING.search(text) is None


def characters(text: str) -> list[str]:
    """Return the characters of a text. Joined, they are the text.

    Accents, vowel signs, variation selectors and joiners belong to the character before them, and an emoji sequence or
    a flag is one character.

    Source: Unicode Standard Annex 29, extended grapheme clusters. Difference: a carriage return and a line feed are
    two characters.

    >>> [len(character) for character in characters("ne\N{COMBINING ACUTE ACCENT}!")], len(characters("👩‍💻🇩🇪"))
    ([1, 2, 1], 2)
    """
    return list(text) if are_code_points(text) else _CHARACTER.findall(text)


def first_character(text: str) -> str:
    """Return the first character of a text, or the empty text."""
    found = _CHARACTER.match(text)
    return found[0] if found else ""


def cut_between_characters(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the text in pieces that end with whole characters, unless one is endless.

    >>> [len(piece) for piece in cut_between_characters(["ne", "\N{COMBINING ACUTE ACCENT}!", "?"])]
    [1, 2, 1, 1]
    """
    held = ""
    for piece in pieces:
        held += piece
        del piece
        last = _last_character(held)
        if len(last) == len(held) < _ENDLESS:
            continue
        # Nothing but what is left is kept while the piece is used.
        end = len(held) - len(last)
        done, held = held[:end] or held, held[end:] if end else ""
        yield done
        del done
    if held:
        yield held


def _last_character(text: str) -> str:
    """Return the last character, which the next piece may continue."""
    # A blank begins a character, so that the text before it does not matter.
    begin = max(0, text.rfind(" ", 0, -1), text.rfind("\n", 0, -1))
    found = characters(text[begin:])
    return found[-1] if found else ""
