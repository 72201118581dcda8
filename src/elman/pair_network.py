"""Networks that read two sequences: the same or two encoders, attention between the steps, features of both."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.data.text.ngrams import NgramRows
from elman.data.text.pair_ngrams import PairNgrams
from elman.devices import CPU, moved
from elman.network_parts import build_body, build_steps, dense_layers, example_of, read_steps
from elman.nn.alignment import Alignment, occurs_in_other
from elman.nn.penalties import read_each
from elman.nn.pooling import Pooling
from elman.nn.recurrent import Recurrent
from elman.nn.wide import Loss, Wide

# How the network and the linear model are weighed before held-out pairs are seen.
FACTORS = (0.6, 0.4)


class StepEncoder(nn.Module):
    """The layers that read one of two sequences: embedding and recurrent body.

    Args:
        settings: the layers.
        cell: the cell itself, where `settings.cell` only names it.
        sizes: of what it reads, by name, as for `StepNetwork`, and `extra`: further features of each step.

    Attributes:
        output_size: features of a step of the result.
    """

    def __init__(self, settings: Any, cell: Cell | None, **sizes: Any):
        super().__init__()
        self.output_size = build_steps(self, settings, cell, **sizes)

    def forward(self, batch: Ragged, extra: Tensor | None = None) -> tuple[Ragged, Tensor | None]:
        """Return the outputs of all steps, and the last outputs (None without a recurrent layer)."""
        return read_steps(self, batch, extra)


class PairNetwork(nn.Module):
    """A network that reads pairs of sequences and gives one row for each pair.

    Both sequences are read by one encoder (siamese), or by an encoder each. With attention each step a of one
    sequence is aligned with a mean ã of the other's, and [a, ã, a - ã, a ã] is read by a dense layer and recurrent
    layers. The steps are pooled to rows u and v, of which dense layers read [u, v, |u - v|, u v], or with `symmetric`
    [u + v, |u - v|, u v].

    Args:
        settings: the layers.
        outputs: size of the rows; 0 for a network that gives rows u and v only.
        first, second: sizes of what the two sequences are, by name, as for `StepNetwork`. Those of the second are not
            read if the encoder is shared.
        cell: the cell itself, where `settings.cell` only names it.

    Source:
        J. Bromley et al., Signature Verification using a "Siamese" Time Delay Neural Network, NIPS 1993; L. Mou et al.,
        Natural Language Inference by Tree-Based Convolution and Heuristic Matching, ACL 2016, for the features of both
        rows; Q. Chen et al., Enhanced LSTM for Natural Language Inference, ACL 2017, for the attention. Differences:
        the tokens that occur in both sequences are marked, and the poolings are those of the settings.
    """

    def __init__(
        self,
        settings: Any,
        outputs: int,
        *,
        first: Mapping[str, Any],
        second: Mapping[str, Any],
        cell: Cell | None = None,
    ):
        super().__init__()
        self.settings = settings
        self.marks = settings.matches and settings.shared and first.get("vocabulary_size") is not None
        self.marks = self.marks and first.get("ngrams", 1) == 1
        self.unused_ids = first.get("unused_ids", 1)
        kinds = [first] if settings.shared else [first, second]
        self.readers = nn.ModuleList(StepEncoder(settings, cell, extra=int(self.marks), **sizes) for sizes in kinds)
        width = self.readers[0].output_size
        assert isinstance(width, int)
        self.alignment = self.project = self.compare = None
        if settings.attention:
            self.alignment = Alignment()
            self.project = nn.Linear(4 * width, settings.hidden_size)
            width = settings.hidden_size
            self.dropout = nn.Dropout(settings.dropout)
            if settings.cell != "none":
                both = {"bidirectional": settings.bidirectional, "merge": settings.merge}
                self.compare = build_body(settings, width, cell, **both)
                width = self.compare.output_size
        self.pooling = Pooling(settings.pooling, width, settings.max_length)
        size = self.pooling.output_size * (3 if settings.symmetric else 4)
        self.dense = dense_layers(settings, size, outputs) if outputs else None

    @property
    def body(self) -> Recurrent | None:
        """The recurrent layers of the first encoder."""
        return self.readers[0].body  # type: ignore[return-value]

    @property
    def members(self) -> list[nn.Module]:
        """The encoders, each of which may start from another model."""
        return list(self.readers)

    def forward(self, first: Ragged, second: Ragged) -> Tensor:
        """Return rows `(batch, outputs)` of ids `(total,)` or numbers `(total, feature)`."""
        one, two = self.encode(first, second)
        both = [one + two] if self.settings.symmetric else [one, two]
        assert self.dense is not None
        return self.dense(torch.cat([*both, (one - two).abs(), one * two], 1))

    def encode(self, first: Ragged, second: Ragged) -> tuple[Tensor, Tensor]:
        """Return the rows of both sequences of each pair, `(batch, feature)` each."""
        marks: list[Tensor | None] = [None, None]
        if self.marks:
            found = occurs_in_other(first, second, unused=self.unused_ids)
            dtype = next(self.parameters()).dtype
            marks = [each.to(dtype)[:, None] for each in found]
        one, one_end = self.readers[0](first, marks[0])
        two, two_end = self.readers[-1](second, marks[1])
        if self.alignment is not None:
            seen = self.alignment(one, two)
            (one, one_end), (two, two_end) = self._compared(one, seen[0]), self._compared(two, seen[1])
        return self.pooling(one, one_end), self.pooling(two, two_end)

    def _compared(self, steps: Ragged, aligned: Ragged) -> tuple[Ragged, Tensor | None]:
        """Read the steps of one sequence together with what they are aligned with."""
        a, b = steps.data, aligned.data
        assert self.project is not None
        rows = torch.relu(self.project(torch.cat([a, b, a - b, a * b], 1)))
        found = steps.replace(self.dropout(rows))
        if self.compare is None:
            return found, None
        found, last = self.compare(found)
        return found, last.output

    def vectors(self, batch: Ragged) -> Tensor:
        """Return a row for each sequence alone, `(batch, feature)`, without attention and marks."""
        steps, last = self.readers[0](batch)
        return self.pooling(steps, last)


class PairWide(nn.Module):
    """A linear model of the n-grams of two texts for each kind of target, see `PairNgrams` and `Wide`.

    Args:
        pairs: the features.
        outputs: the loss and the number of outputs of each kind of target.
    """

    def __init__(self, pairs: PairNgrams, outputs: Mapping[str, tuple[Loss, int]]):
        super().__init__()
        self.pairs = pairs
        self.features = len(self.pairs)
        self.parts = nn.ModuleDict({name: Wide(self.features, n, loss, FACTORS) for name, (loss, n) in outputs.items()})

    def inherit(self, earlier: "PairWide") -> None:
        """Take the factors of another model, and how it was fitted, for the next fit."""
        for name, part in self.parts.items():
            part.inherit(earlier.parts[name])  # type: ignore[operator]

    def forward(self, first: NgramRows, second: NgramRows) -> dict[str, Tensor]:
        """Return the outputs for each kind of target, `(pairs, outputs)`."""
        # n-grams are paired on the CPU.
        rows = moved(self.pairs.rows(moved(first, CPU), moved(second, CPU)), first.values.device)
        return {name: part(rows) for name, part in self.parts.items()}


class PairEnsemble(nn.Module):
    """Pair networks of the same layers, each from first weights of its own, with one linear model beside them.

    Args:
        settings: the layers.
        outputs: size of the rows of each.
        members: number of networks.
        how: as for `PairNetwork`.

    Source:
        B. Lakshminarayanan et al., 2017, see `Ensemble`.
    """

    wide: PairWide | None

    def __init__(self, settings: Any, outputs: int, members: int = 1, **how: Any):
        super().__init__()
        self.settings = settings
        self.networks = nn.ModuleList(PairNetwork(settings, outputs, **how) for _ in range(members))
        self.wide = None

    def add_wide(self, pairs: PairNgrams, outputs: Mapping[str, tuple[Loss, int]]) -> None:
        """Add a linear model of n-grams."""
        self.wide = PairWide(pairs, outputs)

    @property
    def body(self) -> Recurrent | None:
        """The recurrent layers of the first encoder."""
        return self.networks[0].body  # type: ignore[return-value]

    @property
    def bodies(self) -> list[Recurrent]:
        """All recurrent layers of one cell."""
        return [module for module in self.networks[0].modules() if isinstance(module, Recurrent)]

    @property
    def members(self) -> list[nn.Module]:
        """The encoders of all networks, each of which may start from another model."""
        return [reader for network in self.networks for reader in network.members]  # type: ignore[union-attr]

    def forward(self, first: Ragged, second: Ragged) -> Tensor:
        """Return the rows of each network, `(members, batch, outputs)`."""
        return torch.stack(read_each(self.networks, lambda network: network(first, second)))

    def vectors(self, batch: Ragged) -> Tensor:
        """Return a row for each sequence, `(batch, feature)`, of the first network."""
        return self.networks[0].vectors(batch)  # type: ignore[operator]

    def example(self) -> tuple[Ragged, Ragged]:
        """Return a small batch of pairs of the kind that the networks read."""
        readers = list(self.networks[0].readers)  # type: ignore[arg-type]
        first, second = (example_of(reader, self.settings.max_length) for reader in (readers[0], readers[-1]))
        return first, second
