"""Long lists of mistakes cut to what a person reads."""

_SHOWN = 5


def listed(mistakes: list[str]) -> list[str]:
    """List the first few mistakes, and count the rest.

    >>> listed(["a", "b", "c", "d", "e", "f", "g"])
    ['a', 'b', 'c', 'd', 'e', '… and 2 more']
    """
    more = len(mistakes) - _SHOWN
    return mistakes[:_SHOWN] + ([f"… and {more} more"] if more > 0 else [])
