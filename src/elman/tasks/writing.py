"""What tasks whose answer is a text have in common: the network, how a batch is read, answers, scores."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.encoder_decoder import EncoderDecoder
from elman.errors import UsageError
from elman.forcing import Discriminator, evaluated, forcing_ratio, mixed_inputs, professor_penalty
from elman.generation.beam import Hypothesis, beam_search, greedy, sample
from elman.generation.demands import Demands, demands_of
from elman.minimum_risk import expected_risk, risk_of
from elman.settings import check_settings
from elman.settings.decoding import DecodingOptions
from elman.tasks.task import Answer, Batch, Read
from elman.tasks.translate_scores import TextScores
from elman.tasks.translate_texts import MARKS, MarkedText, Targets, TargetText

GREEDY, DEFAULTS = check_settings(DecodingOptions, {"beam": 1}), check_settings(DecodingOptions, {})
# Sentences whose attention a report shows, and the longest of them in tokens.
SHOWN, SHOWN_TOKENS = 4, 40
# Of which they are chosen, so that short and long ones are among them.
CANDIDATES = 24


class Written(NamedTuple):
    """What a network wrote for a batch in an evaluation.

    Attributes:
        found: the best text for each source, as a search found it.
        texts: the same as texts.
        free: mean loss of the true tokens where the network reads its own.
    """

    found: list[Hypothesis]
    texts: list[str]
    free: Tensor


class Searched(nn.Module):
    """A network with the options of its search.

    Args:
        network: that writes.
        options: that differ from the defaults.
    """

    def __init__(self, network: Any, options: DecodingOptions):
        super().__init__()
        self.network = network
        self.options = options


def build_network(settings: Any, target: TargetText, cell: Cell | None, **source: Any) -> EncoderDecoder:
    """Build the network of a task, with a discriminator for professor forcing.

    Args:
        settings: of the task.
        target: encoder of the targets.
        cell: the cell itself, where `settings.cell` only names it.
        source: `source` or `features`, as for `EncoderDecoder`.
    """
    assert target.vocabulary is not None
    unused = sum(name in ("padding", "unknown") for name in target.vocabulary.specials)
    network = EncoderDecoder(
        settings,
        len(target.vocabulary),
        begin=target.begin,
        end=target.end,
        unused_ids=unused,
        cell=cell,
        counts=target.counts,
        **source,
    )
    if settings.professor_forcing:
        network.discriminator = Discriminator(network.decoder.layers[-1].output_size)
    return network


def with_options(network: Any, options: DecodingOptions) -> Any:
    """Return a network that searches with these options."""
    found = Searched(network, options)
    # A new module is in training, and restoring its mode would set that of the network.
    found.training = network.training
    return found


def _parts_of(network: Any, usual: DecodingOptions) -> tuple[Any, DecodingOptions]:
    """Return a network without its options, and the options, the usual ones if it has none."""
    return (network.network, network.options) if isinstance(network, Searched) else (network, usual)


def read_written(network: Any, source: Any, target: Targets, settings: Any, encoder: TargetText) -> Read:
    """Read a batch of sources with their targets.

    In training the decoder reads true tokens or its own, as the settings say. In an evaluation it reads the true
    tokens, and writes a text by greedy search besides, or as the options of `with_options` say.

    Args:
        network: of `build_network`, or of `with_options`.
        source: ids, or vectors.
        target: ids with marks, and texts.
        settings: of the task.
        encoder: of the targets.
    """
    plain, options = _parts_of(network, GREEDY)
    inputs, targets = plain.shifted(target.ids)
    if network.training:
        state = plain.encode(source)
        parts = []
        share = settings.risk_weight if settings.risk else 0.0
        if share < 1.0:
            parts.append((1.0 - share) * _forced(plain, state, inputs, targets, settings))
        if share:
            parts.append(share * _risked(plain, state, lengths_of(source), target.texts, settings, encoder))
        return Read(torch.stack(parts).sum(), targets.total)
    state, decoder = plain.encode(source), plain.decoder
    loss = decoder.loss(decoder(inputs, state), targets)
    own = decoder(mixed_inputs(decoder, state, inputs, 0.0), state)
    found = [each[0] for each in search(plain, state, lengths_of(source), encoder, options, keep_attention=True)]
    texts = [encoder.decode(each.tokens) for each in found]
    return Read(loss, targets.total, Written(found, texts, decoder.loss(own, targets)))


def _forced(network: Any, state: Any, inputs: Ragged, targets: Ragged, settings: Any) -> Tensor:
    """Return the loss of the true tokens of a minibatch in training."""
    decoder = network.decoder
    ratio = forcing_ratio(settings, int(network.batches))
    network.batches += 1
    how = {"unit": settings.forcing_unit, "feedback": settings.feedback}
    decoded = decoder(mixed_inputs(decoder, state, inputs, ratio, **how), state)
    if settings.professor_forcing:
        free = decoder(mixed_inputs(decoder, state, inputs, 0.0, feedback=settings.feedback), state)
        professor_penalty(network.discriminator, decoded.hidden, free.hidden, settings.professor_forcing)
    return decoder.loss(decoded, targets)


def _risked(
    network: Any, state: Any, lengths: Sequence[int], references: Sequence[str], settings: Any, encoder: TargetText
) -> Tensor:
    """Return the expected risk of texts that are drawn for each source with nothing dropped."""
    count = settings.risk_samples
    rows = [row for row in range(len(lengths)) for _ in range(count)]
    seed = int(torch.randint(2**62, ()))
    options = check_settings(DecodingOptions, {"search": "sample", "seed": seed})
    with torch.no_grad(), evaluated(network):
        found = search(
            network, state.detach().repeated(torch.tensor(rows)), [lengths[row] for row in rows], encoder, options
        )
    drawn = [each[0].tokens for each in found]
    risk = risk_of(settings.risk)
    candidates, risks = [], []
    for row, reference in enumerate(references):
        # Of equal texts, one counts.
        candidates.append([list(ids) for ids in dict.fromkeys(map(tuple, drawn[row * count : (row + 1) * count]))])
        risks.append([risk(encoder.decode(ids), reference) for ids in candidates[-1]])
    how = {"begin": network.begin, "end": network.end, "sharpness": settings.risk_sharpness}
    return expected_risk(network.decoder, state, candidates, risks, **how)


def answers_of(network: Any, source: Any, encoder: TargetText) -> list[Answer]:
    """Return the best text for each source, with the next best as `others`."""
    plain, options = _parts_of(network, DEFAULTS)
    found = search(plain, plain.encode(source), lengths_of(source), encoder, options)
    return [_answer(each, encoder) for each in found]


def _answer(found: Sequence[Hypothesis], encoder: TargetText) -> Answer:
    answers = [Answer(encoder.decode(each.tokens), score=each.score) for each in found]
    return answers[0]._replace(others=answers[1:])


def search(
    network: EncoderDecoder,
    state: Any,
    lengths: Sequence[int],
    encoder: TargetText,
    options: DecodingOptions,
    *,
    keep_attention: bool = False,
) -> list[list[Hypothesis]]:
    """Return the texts that the options find for each source, best first.

    Args:
        network: in evaluation mode.
        state: before the first token.
        lengths: steps of each source.
        encoder: of the targets.
        options: of the search.
        keep_attention: whether hypotheses get the attention of their steps.
    """
    decoder, demands = network.decoder, demanded(options, lengths, encoder)
    how: dict[str, Any] = {"start": network.begin, "end": network.end, "settings": options, "demands": demands}
    how["device"] = next(network.parameters()).device
    how["keep_attention"] = keep_attention
    if options.search == "sample":
        drawn = sample(decoder, state, lengths, **how)
        return [[each] for each in drawn]
    if options.beam == 1 and not demands.required:
        return [[each] for each in greedy(decoder, state, lengths, **how)]
    return beam_search(decoder, state, lengths, **how)


def demanded(options: DecodingOptions, lengths: Sequence[int], encoder: TargetText) -> Demands:
    """Return the demands of the options on the text for each source."""
    options = encoder.allowing(options)
    prefixes = [] if options.prefix is None else [ids_of(options.prefix, encoder)] * len(lengths)
    required = [[ids_of(text, encoder) for text in options.require]] * len(lengths) if options.require else []
    banned = [id for text in options.ban for id in ids_of(text, encoder)]
    for text in options.require:
        if shared := set(banned).intersection(ids_of(text, encoder)):
            raise UsageError(
                f"{text!r} is required, and {encoder.shown(shared)[0]!r} in it is banned.",
                fix="Remove it from require (--require) or from ban (--ban).",
            )
    return demands_of(
        options,
        [max(0, each - MARKS) for each in lengths],
        prefixes=prefixes,
        required=required,
        banned=[*encoder.never_written, *banned],
    )


def attention_to(
    network: EncoderDecoder, source: str, task: Any, options: Mapping[str, Any]
) -> tuple[list[str], list[str], np.ndarray]:
    """Return the tokens of a source, the tokens written for it, and the weights between them.

    Raises:
        UsageError: the network has no attention.
    """
    given = check_settings(DecodingOptions, options)
    reader, writer = task.encoders["source"], task.encoders["target"]
    ids = reader.encode([source])
    with torch.inference_mode():
        found = search(network, network.encode(ids), lengths_of(ids), writer, given, keep_attention=True)[0][0]
    if found.attention is None:
        raise UsageError("This model has no attention.", fix="Train one with attention=general, or another kind.")
    rows = [*found.tokens, writer.end][: len(found.attention)]
    return reader.shown(ids.data.tolist()), writer.shown(rows), found.attention


def ids_of(text: str, encoder: TargetText) -> list[int]:
    """Return the ids of a text without marks.

    Raises:
        UsageError: the text has tokens that training never saw.
    """
    assert encoder.vocabulary is not None
    ids = encoder.encode([text]).ids.data.tolist()[1:-1]
    unknown = encoder.vocabulary.specials.get("unknown")
    if unknown in ids or not ids:
        raise UsageError(
            f"{text!r} has tokens that training never saw, so that it cannot be written.",
            fix="Give words of the training targets, spelled as there.",
        )
    return ids


def lengths_of(source: Any) -> list[int]:
    """Return the steps of each source, of a vector one for each number."""
    if isinstance(source, Ragged):
        return source.lengths.tolist()
    return [source.shape[1]] * len(source)


class WritingScores:
    """Loss, free-running loss, and scores of the texts against their references.

    In training there are no texts, and only the loss is scored.

    Args:
        target: encoder of the targets.
        source: encoder of the sources; None for vectors, whose attention is not shown.
    """

    def __init__(self, target: TargetText, source: MarkedText | None = None):
        self._target, self._source = target, source
        self._texts = TextScores()
        self._sums = {"loss": 0.0, "loss_free_running": 0.0}
        self._targets = self._count = 0
        self._attention: list[dict[str, Any]] = []

    def update(self, batch: Batch, read: Read) -> None:
        """Count a batch."""
        self._targets += read.targets
        self._count += batch.sequences
        self._sums["loss"] += float(read.loss.detach()) * read.targets
        if read.outputs is None:
            return
        self._sums["loss_free_running"] += float(read.outputs.free) * read.targets
        self._texts.update(read.outputs.texts, batch["target"].texts)
        if self._source is not None:
            self._keep_attention(batch["source"], read.outputs.found)

    def _keep_attention(self, source: Ragged, found: Sequence[Hypothesis]) -> None:
        """Keep the attention of some texts that a page has room for."""
        assert self._source is not None
        pairs = list(zip(source.to_list(), found, strict=True))
        for ids, each in pairs[:: max(1, len(pairs) // SHOWN)]:
            if len(self._attention) == CANDIDATES:
                return
            if each.attention is None or not each.tokens or max(len(ids), len(each.tokens)) > SHOWN_TOKENS:
                continue
            rows = [*each.tokens, self._target.end][: len(each.attention)]
            self._attention.append(
                {
                    "source": self._source.shown(ids.tolist()),
                    "written": self._target.shown(rows),
                    "weights": [[round(float(share), 4) for share in row] for row in each.attention],
                }
            )

    def compute(self) -> dict[str, Any]:
        """Return every score by its name."""
        means = {name: value / max(1, self._targets) for name, value in self._sums.items()}
        texts: Mapping[str, Any] = self._texts.compute()
        if not texts:
            del means["loss_free_running"]
        found = {**texts, **means, "targets": self._targets, "count": self._count}
        spread = range(0, len(self._attention), max(1, -(-len(self._attention) // SHOWN)))
        shown = [self._attention[index] for index in spread]
        return found | ({"attention": shown} if shown else {})
