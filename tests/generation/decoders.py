"""Small decoders for tests of searches, and their answers by brute force."""

import itertools
import math

import torch

from elman.generation.beam import Step

START, END = 0, 1


class TableDecoder:
    """A decoder whose logits depend on the source and on the last two tokens, from random tables.

    Its state is the whole history, so that a state that does not follow its hypothesis is seen.
    """

    def __init__(self, seed: int, sources: int, vocabulary: int, memory: int | list[int] = 0, *, ties: bool = False):
        generator = torch.Generator().manual_seed(seed)
        shape = (sources, vocabulary, vocabulary, vocabulary)
        self.table = torch.randn(shape, generator=generator) * 2
        if ties:
            self.table = self.table.round()
        self.lengths = [memory] * sources if isinstance(memory, int) else memory
        longest = max(self.lengths, default=0)
        weights = torch.rand((sources, vocabulary, longest), generator=generator) + 0.01
        for source, length in enumerate(self.lengths):
            weights[source, :, length:] = 0
        self.attention = weights / weights.sum(-1, keepdim=True).clamp(min=1e-9) if longest else None
        self.rows_stepped = 0

    def start(self, sources=None):
        """The state of these sources before the start mark."""
        which = range(len(self.table)) if sources is None else sources
        return [(source, ()) for source in which]

    def step(self, tokens, state):
        assert len(tokens) == len(state) > 0
        self.rows_stepped += len(state)
        histories = [
            (source, (*history, token)) for (source, history), token in zip(state, tokens.tolist(), strict=True)
        ]
        assert all(history[0] == START and END not in history for _, history in histories)
        source = torch.tensor([source for source, _ in histories])
        before = torch.tensor([history[-2] if len(history) > 1 else START for _, history in histories])
        attention = None if self.attention is None else self.attention[source, tokens]
        return Step(self.table[source, before, tokens], histories, attention)

    def select(self, state, rows):
        return [state[row] for row in rows.tolist()]

    def log_probabilities(self, source, history):
        """Of the next token after a history without the start mark, float64."""
        marked = (START, START, *history)
        return self.table[source, marked[-2], marked[-1]].double().log_softmax(-1).tolist()

    def attention_of(self, source, tokens):
        """The attention of each step that reads the start mark and these tokens."""
        return [self.attention[source, token].double().tolist() for token in (START, *tokens)]


def every_target(decoder, source, maximum, allowed=lambda history, token: True):
    """All targets, each as tokens, whether it is finished, and its log probability."""
    vocabulary = decoder.table.shape[-1]
    open_ones = [((), 0.0)]
    for step in range(maximum):
        following = []
        for tokens, total in open_ones:
            found = decoder.log_probabilities(source, tokens)
            options = [token for token in range(vocabulary) if allowed(tokens, token)]
            if not options:
                yield tokens, False, total
            for token in options:
                if token == END:
                    yield tokens, True, total + found[token]
                elif step + 1 == maximum:
                    yield (*tokens, token), False, total + found[token]
                else:
                    following.append(((*tokens, token), total + found[token]))
        open_ones = following


def score_of(decoder, source, tokens, finished, log_probability, alpha, beta):
    """The score as Wu et al. (2016, equation 14) write it."""
    length = len(tokens) + finished
    score = log_probability / ((5 + length) / 6) ** alpha
    if beta:
        steps = decoder.attention_of(source, tokens)[: len(tokens) + finished]
        for position in range(decoder.lengths[source]):
            covered = sum(step[position] for step in steps)
            score += beta * math.log(min(max(covered, 1e-10), 1.0))
    return score


def greedy_target(decoder, source, maximum, allowed=lambda history, token: True):
    """The most probable allowed token each time."""
    tokens, total = (), 0.0
    for _ in range(maximum):
        found = decoder.log_probabilities(source, tokens)
        options = [token for token in range(len(found)) if allowed(tokens, token)]
        if not options:
            return tokens, False, total
        best = max(options, key=lambda token: (found[token], -token))
        total += found[best]
        if best == END:
            return tokens, True, total
        tokens = (*tokens, best)
    return tokens, False, total


def repeats(history, token, size):
    """Whether a token completes an n-gram that has occurred."""
    whole = (*history, token)
    grams = [whole[i : i + size] for i in range(len(whole) - size + 1)]
    return len(grams) != len(set(grams))


def products(*options):
    """All combinations, as a list."""
    return list(itertools.product(*options))
