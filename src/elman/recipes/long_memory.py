"""Sequences whose answer depends on steps long before: the long-memory tests of the field, drawn at random."""

import numpy as np

from elman.tasks.task import Values

# The error of a right answer to the adding problem, whose square is 0.04.
ADDING_TOLERANCE = 0.2
# Of the temporal order, as in Hochreiter and Schmidhuber: X, Y, four distractors.
RELEVANT, DISTRACTORS = 2, 4


def adding(sequences: int, length: int, seed: int = 0) -> Values:
    """Draw sequences of the adding problem: the target is the sum of two marked numbers.

    A step has two features: a number drawn uniformly from 0 to 1, and a mark, which is 1 at two steps and else 0. Both
    steps are drawn from all steps. Always answering 1, the mean of the targets, has a squared error of 1/6.

    Args:
        sequences: number of sequences.
        length: steps of each, at least 2.
        seed: of the draws.

    Source:
        S. Hochreiter, J. Schmidhuber, Long Short-Term Memory, 1997, experiment 4, in the form of Q. V. Le, N. Jaitly,
        G. E. Hinton, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units, 2015, section 4.1.
    """
    generator = np.random.default_rng(seed)
    numbers, marks = generator.random((sequences, length)), np.zeros((sequences, length))
    marked = generator.random((sequences, length)).argsort(1)[:, :2]
    np.put_along_axis(marks, marked, 1.0, 1)
    steps = np.stack([numbers, marks], 2).astype(np.float32)
    return _rows(steps, "target", (numbers * marks).sum(1).tolist(), f"adding problem of {length:,} steps")


def temporal_order(sequences: int, length: int, seed: int = 0) -> Values:
    """Draw sequences of the temporal order: the label says in which order two symbols were seen.

    A step is one of six symbols, one-hot. All are distractors except two, each X or Y: one at a step drawn from the
    second tenth of the steps, the other from the sixth tenth. The label is one of XX, XY, YX and YY.

    Args:
        sequences: number of sequences.
        length: steps of each, at least 10.
        seed: of the draws.

    Source:
        S. Hochreiter, J. Schmidhuber, Long Short-Term Memory, 1997, experiment 6a. Differences: the positions scale
        with the length, every sequence has the same length, and there are no symbols for its begin and its end.
    """
    generator = np.random.default_rng(seed)
    symbols = generator.integers(RELEVANT, RELEVANT + DISTRACTORS, (sequences, length))
    found = generator.integers(0, RELEVANT, (sequences, 2))
    tenth = length / 10
    for column, first in enumerate((1, 5)):
        at = generator.integers(int(first * tenth), int((first + 1) * tenth), sequences)
        symbols[np.arange(sequences), at] = found[:, column]
    labels = ["".join("XY"[each] for each in row) for row in found]
    steps = np.eye(RELEVANT + DISTRACTORS, dtype=np.float32)[symbols]
    return _rows(steps, "label", labels, f"temporal order in {length:,} steps")


def copy_memory(sequences: int, delay: int, seed: int = 0, *, symbols: int = 8, copied: int = 10) -> Values:
    """Draw sequences of the copy memory: after a delay, the first symbols are to be repeated.

    A sequence is `copied` symbols `s0`, `s1`, …, then `delay` - 1 blanks, a sign to start, and `copied` blanks. Its
    tags are `delay` + `copied` blanks, then the symbols. Without memory, blanks and guesses have a cross entropy of
    copied·ln(symbols) / (delay + 2·copied) nats a step.

    Args:
        sequences: number of sequences.
        delay: steps from the last symbol to the first that is repeated.
        seed: of the draws.
        symbols: size of the alphabet, without the blank and the sign.
        copied: length of what is repeated.

    Source:
        M. Arjovsky, A. Shah, Y. Bengio, Unitary Evolution Recurrent Neural Networks, 2016, section 4.1, after
        Hochreiter and Schmidhuber, 1997.
    """
    drawn = np.random.default_rng(seed).integers(0, symbols, (sequences, copied))
    names = [f"s{number}" for number in range(symbols)]
    first = [[names[each] for each in row] for row in drawn]
    blanks = ["_"] * copied
    words = [[*row, *["_"] * (delay - 1), ":", *blanks] for row in first]
    tags = [["_"] * (delay + copied) + row for row in first]
    return Values({"words": words, "tags": tags}, source=f"copy memory over {delay:,} steps")


def _rows(steps: np.ndarray, target: str, answers: list, source: str) -> Values:
    return Values({"text": list(steps), target: answers}, source=source, settings={"tokens": "values"})
