"""The network of a tagger: words by what they are and how they are spelled, recurrent body, a head for each word."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.data.text.spelling import SpelledWords, features_of
from elman.devices import widened
from elman.network_parts import build_activation_regulariser, build_body, build_embedding, dense_layers, embed
from elman.nn.crf import CRF, mean_crf
from elman.nn.neighbours import NeighbourModel
from elman.nn.penalties import read_each
from elman.nn.regularisers import SequenceDropout
from elman.nn.truncation import read_in_windows
from elman.nn.words import CharacterEncoder, FeatureSum
from elman.settings.tagging import WordSettings


class TagNetwork(nn.Module):
    """A network that reads sentences of words and gives scores of the tags for each word.

    Args:
        settings: the layers.
        tags: number of scores of a word.
        vocabulary_size: number of word ids.
        unused_ids: how many of the first ids stand for no word, and begin as rows of zeros; id 0 is unknown.
        characters: number of character ids.
        features: number of ids of the features of words.
        rare: the ids of words that training has once, which are also read as unknown.
        allowed: which tags may be first, follow which and be last, for the CRF; all if not given.
        cell: the cell itself, where `settings.cell` only names it.

    Attributes:
        wide: a linear model that is added to the scores, None at first.
    """

    def __init__(
        self,
        settings: WordSettings,
        tags: int,
        *,
        vocabulary_size: int,
        unused_ids: int = 1,
        characters: int = 1,
        features: int = 1,
        rare: Sequence[int] = (),
        allowed: tuple[Tensor, Tensor, Tensor] | None = None,
        cell: Cell | None = None,
    ):
        super().__init__()
        self.settings = settings
        self.vocabulary_size = vocabulary_size
        self.features = features
        # Words are read as unknown by the network itself, since some of them are so more often.
        embedding = build_embedding(settings.model_copy(update={"token_dropout": 0.0}), vocabulary_size, unused_ids)
        assert embedding is not None
        self.embedding, width = embedding, embedding.output_size
        self.characters = self.affixes = self.body = None
        self.wide: NeighbourModel | None = None
        if settings.characters:
            self.characters = CharacterEncoder(
                characters, settings.character_embedding, settings.characters, settings.character_dropout
            )
            width += self.characters.output_size
        if settings.affixes:
            self.affixes = FeatureSum(features, settings.affixes, dropout=settings.feature_dropout)
            width += settings.affixes
        self.dropout = SequenceDropout(settings.input_dropout) if settings.input_dropout else None
        if settings.cell != "none":
            self.body = build_body(settings, width, cell, bidirectional=settings.bidirectional, merge=settings.merge)
            width = self.body.output_size
        self.output_dropout = SequenceDropout(settings.output_dropout) if settings.output_dropout else None
        self.activation = build_activation_regulariser(settings)
        self.dense = dense_layers(settings, width, tags)
        self.crf = _crf(tags, allowed) if settings.crf else None
        share = torch.full((vocabulary_size,), settings.token_dropout)
        share[list(rare)] = max(settings.token_dropout, settings.rare_dropout)
        self.unknown_share: Tensor
        self.register_buffer("unknown_share", share, persistent=False)

    def forward(self, batch: SpelledWords) -> Ragged:
        """Return scores `(total, tags)`, in training without those of the linear model."""
        return _read_wide(self, batch)

    def read(self, batch: SpelledWords) -> Ragged:
        """Return the scores without those of the linear model."""
        ids = self._some_unknown(batch.ids)
        rows, features = batch.features[:0], None
        distinct = torch.empty(0)
        if self.characters is not None or self.affixes is not None:
            # What depends on the spelling alone is computed once for each distinct word of the batch.
            distinct, rows = batch.forms.unique(return_inverse=True)
            features = batch.features.index_select(0, distinct)
        steps = self._body(self._embedded(ids, batch, distinct, rows, features))
        return steps.map(self.dense).map(widened)

    def parts(self, scores: Ragged) -> list[tuple[Ragged, CRF | None]]:
        """Return the scores with the CRF that reads them."""
        return [(scores, self.crf)]

    def best(self, scores: Ragged) -> Ragged:
        """Return the tags that the scores choose, `(total,)`: word by word, or together by the CRF."""
        return _best(scores, self.crf)

    def _some_unknown(self, ids: Ragged) -> Ragged:
        """Return the ids with some of them 0 in training."""
        if not (self.training and (self.settings.token_dropout or self.settings.rare_dropout)):
            return ids
        share = self.unknown_share.index_select(0, ids.data)
        return ids.map(lambda data: data * (torch.rand(share.shape, device=share.device) >= share))

    def _embedded(
        self, ids: Ragged, batch: SpelledWords, distinct: Tensor, rows: Tensor, features: Tensor | None
    ) -> tuple[Ragged, Tensor | None]:
        spelled = []
        if self.characters is not None:
            spelled.append(self.characters(batch.characters.select(distinct.cpu())))
        if self.affixes is not None:
            spelled.append(self.affixes(features))
        plain = bool(spelled) or self.body is None or (self.training and self.dropout is not None)
        steps, table = embed(self.embedding, ids, plain=plain)
        if spelled:
            vectors = torch.cat(spelled, 1).index_select(0, rows)
            steps = steps.replace(torch.cat([steps.data, vectors], 1))
        return steps, table

    def _body(self, embedded: tuple[Ragged, Tensor | None]) -> Ragged:
        steps, table = embedded
        if self.dropout is not None:
            steps = self.dropout(steps)
        if self.body is None:
            return steps
        window = self.settings.backpropagation_steps
        if window is not None and self.training:
            steps, _ = read_in_windows(self.body, steps, window, table=table)
        else:
            steps, _ = self.body(steps, table=table)
        dropped = steps if self.output_dropout is None else self.output_dropout(steps)
        return dropped if self.activation is None else self.activation(steps, dropped)

    def example(self) -> SpelledWords:
        """Return a small batch of the kind that the network reads."""
        ids = Ragged(torch.zeros(4, dtype=torch.int64), [3, 1])
        spelling = Ragged(torch.zeros(5, dtype=torch.int64), [2, 3])
        features = torch.zeros(2, len(features_of("")), dtype=torch.int64)
        return SpelledWords(ids, torch.tensor([0, 1, 0, 1]), spelling, features)


class TagEnsemble(nn.Module):
    """Taggers of the same layers that are trained side by side, each from first weights of its own, and averaged.

    The score of a tag, or of a whole sequence of tags, is the mean over the networks. The probabilities are then
    proportional to the geometric mean of theirs.

    Args:
        settings: the layers of each.
        tags: number of scores of a word.
        members: number of networks.
        how: as for `TagNetwork`.

    Attributes:
        wide: one linear model beside all networks, as for `TagNetwork`.

    Source:
        B. Lakshminarayanan et al., 2017, see `elman.networks.Ensemble`. Difference: the mean is geometric, which a CRF
        can compute for whole sequences.
    """

    def __init__(self, settings: WordSettings, tags: int, members: int, **how: Any):
        super().__init__()
        self.settings = settings
        self.members = nn.ModuleList(TagNetwork(settings, tags, **how) for _ in range(members))
        self.wide: NeighbourModel | None = None

    @property
    def body(self) -> nn.Module | None:
        """The recurrent layers of the first network."""
        return self.members[0].body  # type: ignore[return-value]

    @property
    def crf(self) -> CRF | None:
        """A CRF whose weights are the means of those of the networks, for answers; None if they have none."""
        found = [member.crf for member in self.members if isinstance(member.crf, CRF)]
        return mean_crf(found) if found else None

    def forward(self, batch: SpelledWords) -> Ragged:
        """Return scores `(total, tags)`, in training `(total, members, tags)`.

        In training they are without those of the linear model.
        """
        return _read_wide(self, batch)

    def read(self, batch: SpelledWords) -> Ragged:
        """Return the scores without those of the linear model."""
        found = read_each(self.members, lambda member: member.read(batch).data)
        scores = torch.stack(found, 1)
        return batch.ids.replace(scores if self.training else scores.mean(1))

    def parts(self, scores: Ragged) -> list[tuple[Ragged, CRF | None]]:
        """Return the scores of each network with its CRF.

        Outside training these are the mean scores with the mean CRF.
        """
        if scores.data.dim() == 2:
            return [(scores, self.crf)]
        crfs = [member.crf for member in self.members]
        return [(scores.replace(scores.data[:, number]), crf) for number, crf in enumerate(crfs)]  # type: ignore[misc]

    def best(self, scores: Ragged) -> Ragged:
        """Return the tags that the scores choose, `(total,)`, those of all networks together."""
        return _best(scores.map(lambda data: data.mean(1)) if scores.data.dim() == 3 else scores, self.crf)

    def example(self) -> SpelledWords:
        """Return a small batch of the kind that the networks read."""
        return self.members[0].example()  # type: ignore[operator]


def _read_wide(network: Any, batch: SpelledWords) -> Ragged:
    """Return the scores of a network, with those of its linear model outside training."""
    scores = network.read(batch)
    if network.wide is None or network.training:
        return scores
    return scores.map(lambda rows: network.wide.add(rows, batch))


def _best(scores: Ragged, crf: CRF | None) -> Ragged:
    return scores.map(lambda rows: rows.argmax(1)) if crf is None else crf.decode(scores.detach())


def _crf(tags: int, allowed: tuple[Tensor, Tensor, Tensor] | None) -> CRF:
    """Build the CRF.

    The constraints are left out if they allow no tags at all for sentences of some length.
    """
    if allowed is None:
        return CRF(tags)
    starts, transitions, ends = allowed
    reached = starts
    for _ in range(2 * tags):
        if not bool((reached & ends).any()):
            return CRF(tags)
        reached = transitions[reached].any(0)
    return CRF(tags, starts=starts, transitions=transitions, ends=ends)
