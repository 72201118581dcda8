"""Every module of elman, small, with how it is run: what `test_modules` states its laws over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from elman import CELLS, GRU, LSTM, Ragged, Recurrent, SimpleRNN, State, affine, cell, tanh
from elman.compiler.zoneout import zoneout
from elman.data.text.neighbours import learn_neighbours
from elman.data.text.ngrams import NgramRows, TextsWithNgrams
from elman.data.text.spelling import SpelledWords
from elman.encoder_decoder import EncoderDecoder
from elman.forcing import Discriminator
from elman.language_network import LanguageNetwork, LanguageNetworkSettings
from elman.networks import Ensemble, NetworkSettings, RowNetwork, StepNetwork, StepSettings
from elman.nn import (
    Attention,
    EachStep,
    Embedding,
    Flatten,
    NumberInput,
    OneHot,
    Pooling,
    Segments,
    SequenceDropout,
)
from elman.nn import torch as drop_in
from elman.nn.alignment import Alignment
from elman.nn.crf import CRF
from elman.nn.cross_attention import CrossAttention
from elman.nn.linear_cross_entropy import linear_cross_entropy
from elman.nn.neighbours import NeighbourModel
from elman.nn.penalties import collected_penalties
from elman.nn.regularisers import ActivationRegulariser, RareDropout
from elman.nn.scaling import Scaling
from elman.nn.softmax import AdaptiveSoftmax, SampledSoftmax, Softmax
from elman.nn.stack import Stack
from elman.nn.wide import Wide
from elman.nn.words import CharacterEncoder, FeatureSum
from elman.pair_network import PairEnsemble, PairNetwork
from elman.settings.pairs import PairSettings
from elman.settings.series import SCALINGS, VIEWS, SeriesSettings
from elman.settings.tagging import WordSettings
from elman.settings.translation import DecoderSettings
from elman.tag_network import TagEnsemble, TagNetwork

FEATURES, TOKENS, LONGEST = 4, 7, 5

# One result of each sequence: its rows, or a row `(batch, …)`.
Results = list[Ragged | Tensor]


@dataclass(frozen=True)
class Case:
    """A module and how it is run.

    Args:
        make: builds it; what it starts from is drawn from torch's generator.
        run: what it gives for each sequence of a batch.
        scalars: what it gives for the batch as a whole: losses and penalties.
        ids: numbers of ids a step, if it reads ids `(total,)` or `(total, ids)`; else it reads `(total, FEATURES)`.
        draws: whether it draws random numbers while training.
        takes_empty: whether sequences may be empty.
    """

    make: Callable[[], nn.Module]
    run: Callable[[Any, Ragged], Results]
    scalars: Callable[[Any, Ragged], list[Tensor]] = lambda *_: []
    ids: int = 0
    draws: bool = False
    takes_empty: bool = True

    def batch(self, lengths: Sequence[int], dtype: torch.dtype = torch.float64, seed: int = 0) -> Ragged:
        """Sequences of these lengths, the same for every dtype up to its rounding."""
        generator = torch.Generator().manual_seed(seed)
        total = sum(lengths)
        if self.ids:
            shape = (total,) if self.ids == 1 else (total, self.ids)
            return Ragged(torch.randint(0, TOKENS, shape, generator=generator), list(lengths))
        return Ragged(torch.randn(total, FEATURES, generator=generator, dtype=torch.float64).to(dtype), list(lengths))


@cell
def with_context(x, h, *, context):
    return tanh(affine("hidden", x, h, context))


def one(module: Any, batch: Ragged) -> Results:
    return [module(batch)]


def layer(module: Any, batch: Ragged, **constants: Tensor) -> Results:
    """The outputs, the last states and the last output."""
    module.reset_state()
    steps, last = module(batch, **constants)
    several = lambda value: list(value) if isinstance(value, tuple) else [value]  # noqa: E731
    return [*several(steps), *states(last), *several(last.output)]


def layer_of_stack(module: Any, batch: Ragged) -> Results:
    steps, last = module(batch)
    return [steps, *states(last), last.output]


def states(last: State) -> list[Tensor]:
    return [tensor.transpose(0, 1) for tensor in last.tensors.values()]


def packed(module: Any, batch: Ragged) -> Results:
    """A layer with torch's names on a `PackedSequence`."""
    steps, last = module(batch.to_packed())
    last = last if isinstance(last, tuple) else (last,)
    return [Ragged.from_packed(steps), *(tensor.transpose(0, 1) for tensor in last)]


def step_by_step(module: Any, batch: Ragged) -> Results:
    """A cell with torch's names on the first step of each sequence."""
    last = module(batch.first())
    return list(last) if isinstance(last, tuple) else [last]


def pooled(module: Any, batch: Ragged) -> Results:
    return [module(batch, batch.last())]


def targets(rows: Tensor) -> Tensor:
    """A token for each row, which goes with it wherever it is."""
    return (rows[:, 0] > 0).long() + 2 * (rows[:, 1] > 0).long()


def logits(head: Any, batch: Ragged) -> Results:
    return [batch.map(head.logits)]


def loss(head: Any, batch: Ragged) -> list[Tensor]:
    return [head.loss(batch.data, targets(batch.data))]


def fused_loss(linear: Any, batch: Ragged) -> list[Tensor]:
    return [linear_cross_entropy(batch.data, linear.weight, linear.bias, targets(batch.data))]


def penalties(module: Any, batch: Ragged) -> list[Tensor]:
    with collected_penalties() as found:
        module(batch, batch.map(torch.tanh))
    return found


def read(network: Any, batch: Ragged) -> Results:
    reading = network.read(batch)
    return [reading.steps, reading.outputs, reading.outputs.map(network.head.logits), *states(reading.last)]


def scaled(module: Any, batch: Ragged) -> Results:
    """The scaled steps, the same steps scaled back, and the scales."""
    steps, scale = module(batch)
    return [steps, module.invert(steps, scale), *scale]


def scaling(kind: str) -> nn.Module:
    module = Scaling(kind, FEATURES)
    module.fit(Ragged(torch.arange(3.0 * FEATURES).view(3, FEATURES).square(), [1, 2]))
    return module


def number_input(**how: Any) -> nn.Module:
    module = NumberInput(FEATURES, **how)
    module.fit(Ragged(torch.arange(3.0 * FEATURES).view(3, FEATURES).square(), [1, 2]))
    return module


def numbers_network(**how: Any) -> nn.Module:
    settings: Any = SeriesSettings(**{"scaling": "standard", "views": ("values", "series"), **how})
    return RowNetwork(NetworkSettings(hidden_size=3, pooling=("mean",)), 2, features=FEATURES, numbers=settings)


def next_token_loss(network: Any, batch: Ragged) -> list[Tensor]:
    return [network.head.loss(network(batch)[0].data, (batch.data + 1) % TOKENS)]


def recurrent(name: Any = "gru", **settings: Any) -> Callable[[], nn.Module]:
    return lambda: Recurrent(name, FEATURES, 3, **settings)


def network(*, ids: bool = True, **settings: Any) -> Callable[[], nn.Module]:
    read = {"vocabulary_size": TOKENS} if ids else {"features": FEATURES}
    return lambda: RowNetwork(NetworkSettings(**{"hidden_size": 3, **settings}), 2, **read)


def language(**settings: Any) -> Callable[[], nn.Module]:
    checked = LanguageNetworkSettings(**{"hidden_size": 4, "embedding_size": 3, **settings})
    return lambda: LanguageNetwork(checked, TOKENS, counts=torch.arange(TOKENS))


ALL_DROPPED = {"input_dropout": 0.2, "output_dropout": 0.2, "weight_drop": 0.2, "zoneout": 0.2, "num_layers": 2}

# The features of each of the TOKENS words.
SPELLED = torch.arange(TOKENS * 3).view(TOKENS, 3) % TOKENS


def tagger(kind: Any = TagNetwork, **changes: Any) -> Callable[[], nn.Module]:
    small = {"embedding": 3, "hidden_size": 3, "characters": 2, "character_embedding": 2, "affixes": 2}
    quiet = dict.fromkeys((name for name in WordSettings.model_fields if name.endswith("dropout")), 0.0)
    settings: Any = WordSettings(**{**small, **quiet, **changes})

    sizes = {"vocabulary_size": TOKENS, "characters": TOKENS, "features": TOKENS, "rare": [1, 2]}
    return lambda: randomised(kind(settings, 2, **sizes))


def tagged(module: Any, batch: Ragged) -> Results:
    spelling = Ragged(SPELLED.flatten(), [3] * TOKENS)
    return [module(SpelledWords(batch, batch.data, spelling, SPELLED))]


class SmallPairs(NetworkSettings, PairSettings):
    """The settings that a pair network reads."""


def pairs(kind: Any = PairNetwork, **changes: Any) -> Callable[[], nn.Module]:
    small = {"hidden_size": 3, "embedding": 3, "attention": True, "matches": True, "symmetric": False}
    settings = SmallPairs(**{**small, "pooling": ("mean", "max"), "dense": (3,), **changes})
    sizes = {"vocabulary_size": TOKENS, "unused_ids": 1}
    return lambda: kind(settings, 2, first=sizes, second=sizes)


def paired(module: Any, batch: Ragged) -> Results:
    """Each sequence and the same one in reverse, without its first step."""
    shorter = Ragged.from_list([each[1:] for each in batch.to_list()], feature_shape=(), dtype=torch.int64)
    rows = module(batch, shorter.reverse())
    # An ensemble gives the rows of each network.
    return [rows.transpose(0, 1) if rows.dim() == 3 else rows]


def aligned(module: Any, batch: Ragged) -> Results:
    return list(module(batch, batch.reverse().map(torch.tanh)))


def attending(kind: Any, **how: Any) -> Callable[[], nn.Module]:
    return lambda: CrossAttention(FEATURES, FEATURES, kind=kind, **how)


def attended(module: Any, batch: Ragged) -> Results:
    """The steps of each sequence attend to the same steps in reverse."""
    found = module(batch, module.read(batch.reverse().map(torch.tanh)))
    return [batch.replace(found.contexts)]


def writer(**changes: Any) -> Callable[[], nn.Module]:
    settings = DecoderSettings(**{"hidden_size": 3, "embedding": 4, **changes})
    return lambda: EncoderDecoder(settings, TOKENS, source={"vocabulary_size": TOKENS}, begin=1, end=2)


def written(module: Any, batch: Ragged) -> Results:
    """The logits where each sequence is to be written in reverse, between marks."""
    rows = [torch.cat([each.new_tensor([1]), each.flip(0), each.new_tensor([2])]) for each in batch.to_list()]
    target = Ragged.from_list(rows, feature_shape=(), dtype=torch.int64)
    marked = target.reverse()
    inputs, _ = module.shifted(target)
    return [inputs.replace(module(marked, target))]


def wide_network(members: int = 1) -> nn.Module:
    """Return a network, or an ensemble, with a linear model beside it whose weights are not 0."""
    sizes: Any = {"vocabulary_size": TOKENS, "wide": TOKENS}
    settings = NetworkSettings(hidden_size=3, embedding=3, pooling=("mean",))
    found = RowNetwork(settings, 2, **sizes) if members == 1 else Ensemble(settings, 2, members, **sizes)
    return with_weights(found)


def with_weights(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, Wide):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
            part.factors.copy_(torch.tensor([0.5, 0.7]))
    return module


def with_ngrams(module: Any, batch: Ragged) -> Results:
    rows = module(TextsWithNgrams(batch, ngrams_of(batch)))
    # In training an ensemble gives the rows of each network.
    return [rows.mean(0) if rows.dim() == 3 else rows]


def ngrams_of(batch: Ragged) -> NgramRows:
    return NgramRows(batch, 0.5 + batch.step_index())


def neighbour_model() -> nn.Module:
    words = Ragged(torch.arange(20) * 3 % TOKENS, [8, 1, 11])
    found = NeighbourModel(learn_neighbours(with_features(words)), 2)
    nn.init.normal_(found.weight[1:])
    return found


def with_features(words: Ragged) -> SpelledWords:
    features = (torch.arange(TOKENS * 12) % 5).view(TOKENS, 12)
    return SpelledWords(words, words.data, Ragged(words.data[:0], [0] * TOKENS), features)


def drawn_crf() -> nn.Module:
    return randomised(CRF(FEATURES))


def randomised(module: Any) -> Any:
    """Give weights that start from zeros others."""
    with torch.no_grad():
        for weight in module.parameters():
            if not weight.any():
                weight.normal_()
    return module


RECURRENT: dict[str, Case] = {
    "SimpleRNN": Case(lambda: SimpleRNN(FEATURES, 3, activation="relu"), layer),
    "LSTM": Case(lambda: LSTM(FEATURES, 3), layer),
    "GRU": Case(lambda: GRU(FEATURES, 3, reset_after=False), layer),
    "Recurrent, stacked": Case(recurrent(num_layers=2), layer),
    "Recurrent, both ways": Case(recurrent("lstm", num_layers=2, bidirectional=True), layer),
    **{
        f"Recurrent, merge={merge}": Case(recurrent(bidirectional=True, num_layers=2, merge=merge), layer)
        for merge in ("sum", "mul", "average", None)
    },
    "Recurrent, going backwards": Case(recurrent(go_backwards=True), layer),
    "Stack": Case(lambda: Stack("gru", FEATURES, (3, 2), bidirectional=True), layer_of_stack),
    "Stack that drops": Case(lambda: Stack("gru", FEATURES, (3, 2), dropout=0.3), layer_of_stack, draws=True),
    "Recurrent, stateful": Case(recurrent(stateful=True), layer),
    "Recurrent, from torch's start": Case(recurrent(init="torch"), layer),
    "Recurrent, with a constant": Case(
        recurrent(with_context, constants={"context": 2}), lambda m, b: layer(m, b, context=b.first()[:, :2])
    ),
    "Recurrent, dropout": Case(recurrent(num_layers=2, dropout=0.3), layer, draws=True),
    "Recurrent, weight drop": Case(recurrent("lstm", weight_drop=0.3), layer, draws=True),
    "Recurrent, candidate dropout": Case(
        recurrent(CELLS["gru"].with_options(candidate_dropout=0.3)), layer, draws=True
    ),
    "Recurrent, zoneout": Case(recurrent(zoneout(CELLS["lstm"], 0.3)), layer, draws=True),
    **{
        f"drop-in {name}": Case(
            lambda name=name: getattr(drop_in, name)(FEATURES, 3, num_layers=2, bidirectional=True),
            packed,
            takes_empty=False,
        )
        for name in ("RNN", "LSTM", "GRU")
    },
    **{
        f"drop-in {name}": Case(lambda name=name: getattr(drop_in, name)(FEATURES, 3), step_by_step)
        for name in ("RNNCell", "LSTMCell", "GRUCell")
        if hasattr(drop_in, name)
    },
}

NETWORKS: dict[str, Case] = {
    "EncoderDecoder": Case(writer(), written, ids=1),
    "EncoderDecoder, feeding its input": Case(writer(input_feeding=True, coverage=True), written, ids=1),
    "EncoderDecoder, additive attention, one layer": Case(
        writer(attention="additive", decoder_layers=1, cell="lstm"), written, ids=1
    ),
    "EncoderDecoder that drops": Case(writer(input_dropout=0.3, output_dropout=0.3), written, ids=1, draws=True),
    "Discriminator": Case(lambda: Discriminator(FEATURES, 3), one),
    "RowNetwork on one-hot rows": Case(network(embedding="one-hot", pooling=("last", "mean")), one, ids=1),
    "RowNetwork on rows of a table": Case(
        network(embedding=3, bidirectional=True, pooling=("max", "attention"), dense=(3,)), one, ids=1
    ),
    "RowNetwork on numbers": Case(network(ids=False, pooling=("last",)), one),
    "RowNetwork on scaled numbers": Case(lambda: numbers_network(missing="mask"), one),
    "RowNetwork on segments": Case(lambda: numbers_network(segment=2), one, draws=True),
    "RowNetwork without a layer": Case(network(cell="none", embedding=3, pooling=("mean",)), one, ids=1),
    "RowNetwork that drops": Case(
        network(embedding=3, token_dropout=0.2, embedding_dropout=0.2, dropout=0.2, **ALL_DROPPED),
        one,
        ids=1,
        draws=True,
    ),
    "StepNetwork on rows of a table": Case(
        lambda: StepNetwork(StepSettings(hidden_size=3, embedding=3, bidirectional=True), 2, vocabulary_size=TOKENS),
        one,
        ids=1,
    ),
    "StepNetwork on numbers": Case(lambda: StepNetwork(StepSettings(hidden_size=3), 2, features=FEATURES), one),
    "RowNetwork with a linear model": Case(lambda: wide_network().eval(), with_ngrams, ids=1),
    "Ensemble with a linear model": Case(lambda: wide_network(3).eval(), with_ngrams, ids=1),
    "TagNetwork": Case(tagger(wide=True), tagged, ids=1),
    "TagNetwork, words alone": Case(tagger(characters=0, affixes=0, wide=False, num_layers=1), tagged, ids=1),
    "TagNetwork, layers alone": Case(tagger(cell="none", characters=0, affixes=2, wide=False), tagged, ids=1),
    "TagNetwork that drops": Case(
        tagger(wide=True, token_dropout=0.2, character_dropout=0.2, feature_dropout=0.2, dropout=0.2, **ALL_DROPPED),
        tagged,
        ids=1,
        draws=True,
    ),
    "TagEnsemble": Case(tagger(wide=True, crf=True, kind=lambda *a, **k: TagEnsemble(*a, 2, **k)), tagged, ids=1),
    "PairNetwork": Case(pairs(bidirectional=True), paired, ids=1),
    "PairNetwork, symmetric": Case(pairs(symmetric=True, pooling=("last",)), paired, ids=1),
    "PairNetwork, two encoders": Case(pairs(shared=False, matches=False, attention=False), paired, ids=1),
    "PairNetwork, without a layer": Case(pairs(cell="none"), paired, ids=1),
    "PairNetwork that drops": Case(
        pairs(token_dropout=0.2, input_dropout=0.2, dropout=0.2, output_dropout=0.2), paired, ids=1, draws=True
    ),
    "PairEnsemble": Case(lambda: pairs(lambda *a, **k: PairEnsemble(*a, 2, **k))(), paired, ids=1),
    "LanguageNetwork": Case(language(), read, next_token_loss, ids=1),
    "LanguageNetwork, tied": Case(language(tied=True), read, next_token_loss, ids=1),
    "LanguageNetwork, adaptive": Case(language(softmax="adaptive", cutoffs=(3,)), read, next_token_loss, ids=1),
    "LanguageNetwork, sampled": Case(
        language(softmax="sampled", softmax_samples=3), read, next_token_loss, ids=1, draws=True
    ),
    "LanguageNetwork that drops": Case(
        language(embedding_dropout=0.2, dropout=0.2, **ALL_DROPPED), read, next_token_loss, ids=1, draws=True
    ),
}

MODULES: dict[str, Case] = {
    "Attention": Case(lambda: Attention(FEATURES), one),
    "Alignment": Case(Alignment, aligned),
    "CrossAttention": Case(attending("general"), attended),
    "CrossAttention, additive": Case(attending("additive", size=3, coverage=True), attended),
    "CrossAttention, dot": Case(attending("dot"), attended),
    "Flatten": Case(lambda: Flatten(LONGEST), one),
    **{
        f"Pooling {name}": Case(lambda name=name: Pooling((name,), FEATURES, LONGEST), pooled)
        for name in ("last", "mean", "max", "sum", "attention", "flatten")
    },
    "Pooling of several": Case(lambda: Pooling(("last", "max", "attention"), FEATURES), pooled),
    "OneHot": Case(lambda: OneHot(TOKENS, zeros=1), one, ids=1),
    "Embedding": Case(lambda: Embedding(TOKENS, 3, zeros=1), one, ids=1),
    "Embedding of several ids": Case(lambda: Embedding(TOKENS, 3), one, ids=2),
    "Embedding that drops tokens": Case(lambda: Embedding(TOKENS, 3, dropout=0.3), one, ids=1, draws=True),
    "Embedding that drops rows": Case(lambda: Embedding(TOKENS, 3, row_dropout=0.3), one, ids=1, draws=True),
    "Embedding that drops rows of several ids": Case(
        lambda: Embedding(TOKENS, 3, row_dropout=0.3), one, ids=2, draws=True
    ),
    "EachStep": Case(lambda: EachStep(nn.Sequential(nn.Linear(FEATURES, 3), nn.Tanh())), one),
    "Wide": Case(lambda: with_weights(Wide(TOKENS, 2)), lambda m, b: [m(ngrams_of(b))], ids=1),
    "RareDropout": Case(lambda: RareDropout(TOKENS, [1, 2], 0.5), one, ids=1, draws=True),
    **{f"Scaling {kind}": Case(lambda kind=kind: scaling(kind), scaled) for kind in SCALINGS},
    **{f"NumberInput {view}": Case(lambda view=view: number_input(views=[view]), one) for view in VIEWS},
    "NumberInput of several views": Case(lambda: number_input(scaling="robust", views=VIEWS, mask=True), one),
    "Segments": Case(lambda: Segments(2), one),
    "Segments, the last whole": Case(lambda: Segments(3, "last"), one),
    "Segments that begin anywhere": Case(lambda: Segments(3, shift=True), one, draws=True),
    "SequenceDropout": Case(lambda: SequenceDropout(0.3), one, draws=True),
    "SequenceDropout with the last": Case(
        lambda: SequenceDropout(0.3), lambda m, b: list(m.with_last(b, b.last())), draws=True
    ),
    "ActivationRegulariser": Case(
        lambda: ActivationRegulariser(2.0, 1.0), lambda m, b: [m(b, b.map(torch.tanh))], penalties
    ),
    "Softmax": Case(lambda: Softmax(FEATURES, TOKENS, counts=torch.arange(TOKENS)), logits, loss),
    "SampledSoftmax": Case(lambda: SampledSoftmax(FEATURES, TOKENS, samples=3), logits, loss, draws=True),
    "AdaptiveSoftmax": Case(
        lambda: AdaptiveSoftmax(FEATURES, TOKENS, cutoffs=(2,), counts=torch.arange(TOKENS)), logits, loss
    ),
    "linear_cross_entropy": Case(lambda: nn.Linear(FEATURES, 5), lambda m, b: [b.map(m)], fused_loss),
    "CRF": Case(drawn_crf, lambda m, b: [m.partition(b)]),
    "CharacterEncoder": Case(lambda: CharacterEncoder(TOKENS, 3, 4), one, ids=1),
    "CharacterEncoder that drops": Case(lambda: CharacterEncoder(TOKENS, 3, 4, 0.3), one, ids=1, draws=True),
    "FeatureSum": Case(lambda: FeatureSum(TOKENS, 3), lambda m, b: [b.map(m)], ids=2),
    "FeatureSum that drops": Case(
        lambda: FeatureSum(TOKENS, 3, dropout=0.3), lambda m, b: [b.map(m)], ids=2, draws=True
    ),
    "NeighbourModel": Case(neighbour_model, lambda m, b: [b.map(lambda _: m(with_features(b)))], ids=1),
    **RECURRENT,
    **NETWORKS,
}

# Public modules that are run by others only.
NOT_ALONE = {
    "Weights": "the parameters of one layer in one direction, which Recurrent runs",
    "StepEncoder": "the layers of one sequence of a pair, which PairNetwork runs",
    "PairWide": "reads n-grams of two texts, see tests/tasks/test_compare.py",
    "NamedParameters": "what Weights keeps its parameters in",
    "Reservoir": "fixed units of EchoStateNetwork, without gradients, see tests/models/test_echo_state.py",
    "Reservoirs": "those of EchoStateNetwork, see tests/models/test_echo_state.py",
    "ReservoirBody": "reservoirs of tasks, without gradients, see tests/models/test_reservoir_options.py",
    "LaggedProducts": "features of EchoStateNetwork, without gradients, see tests/models/test_echo_state_options.py",
}
