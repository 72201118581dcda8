"""The layers that write a sequence token after token, and where they are in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.compiler.cell import Cell
from elman.data.ragged.ragged import Ragged
from elman.network_parts import build_body
from elman.nn.cross_attention import CrossAttention, Memory
from elman.nn.embedding import Embedding
from elman.nn.penalties import add_penalty
from elman.nn.recurrent import Recurrent
from elman.nn.regularisers import SequenceDropout
from elman.nn.softmax import Softmax
from elman.nn.state import State


class DecoderState(NamedTuple):
    """Where a decoder is: a row for each hypothesis, the memory of each sequence.

    Attributes:
        states: of the first recurrent layer, and of those above it if there are any.
        sequence: the sequence of each row, rising, `(rows,)` of int64 on the CPU.
        memory: the encoded sequences; None without attention.
        source: ids of the sequences, `(sequences, longest)`; None unless tokens are copied.
        context: what each row last attended to, `(rows, memory size)`; None without input feeding.
        covered: the sums of the attention so far, `(rows, longest)`; None without coverage.
    """

    states: tuple[State, ...]
    sequence: Tensor
    memory: Memory | None = None
    source: Tensor | None = None
    context: Tensor | None = None
    covered: Tensor | None = None

    def select(self, rows: Tensor) -> "DecoderState":
        """Return these rows, repeated or left out, which must stay grouped by sequence."""
        sequence, kept = torch.unique_consecutive(self.sequence[rows.cpu()], return_inverse=True)
        memory, source = self.memory, self.source
        covered = None if self.covered is None else _rows_of(self.covered, rows)
        if memory is not None and len(sequence) < len(memory.values):
            memory = memory.select(sequence.to(memory.values.device))
            longest = memory.values.shape[1]
            source = None if source is None else source[sequence.to(source.device), :longest]
            covered = None if covered is None else covered[:, :longest]
        return DecoderState(
            tuple(state.select(rows) for state in self.states),
            kept,
            memory,
            source,
            None if self.context is None else _rows_of(self.context, rows),
            covered,
        )

    def repeated(self, rows: Tensor) -> "DecoderState":
        """Return these rows, each with a memory of its own.

        Each of them may then read any number of tokens at once.

        Args:
            rows: of a state with one row for each sequence.
        """
        own = (None if each is None else _rows_of(each, rows) for each in (self.source, self.context, self.covered))
        memory = None if self.memory is None else self.memory.select(rows.to(self.memory.values.device))
        return DecoderState(tuple(state.select(rows) for state in self.states), torch.arange(len(rows)), memory, *own)

    def detach(self) -> "DecoderState":
        """Return the state without the history that gradients flow through."""
        memory = None if self.memory is None else Memory(*(part.detach() for part in self.memory))
        context = None if self.context is None else self.context.detach()
        return self._replace(states=tuple(each.detach() for each in self.states), memory=memory, context=context)


class Decoded(NamedTuple):
    """The results of a decoder for a batch of tokens.

    Attributes:
        rows: what the head reads, `(total, features)`.
        hidden: outputs of the last recurrent layer, `(total, hidden)`.
        state: after the last tokens.
        weights: of the attention, `(total, longest)`; None without attention.
        copied: the log odds of not copying, `(total, 1)`; None unless tokens are copied.
    """

    rows: Ragged
    hidden: Ragged
    state: DecoderState
    weights: Tensor | None
    copied: Tensor | None


class Step(NamedTuple):
    """The output of one step of a decoder.

    Attributes:
        logits: unnormalised scores of the next token, `(rows, tokens)`, which a search may overwrite; logarithms of
            probabilities where tokens are copied.
        state: of the decoder after this step.
        attention: weights over the memory, `(rows, longest memory)`, 0 beyond the true length of a row's memory.
    """

    logits: Tensor
    state: Any
    attention: Tensor | None = None


class Decoder(nn.Module):
    """The layers that write the target, token after token.

    The first recurrent layer reads the last token; the attention compares its output with the memory; the layers
    above read both, and a dense layer reads all three:

        s_t = layer₁(E y_{t-1})    c_t = attention(s_t, memory)    u_t = layers(s_t, c_t)
        r_t = tanh(W [u_t, c_t, E y_{t-1}])    p(y_t) = softmax(V r_t)

    No state depends on the attention, so that every product runs over all steps at once where the tokens are given.
    With `input_feeding` layer₁ reads c_{t-1} too: then this layer and the attention run step by step, in Python. With
    `coverage` the attention does.

    Args:
        settings: the layers.
        tokens: number of token ids.
        memory_size: features of a step of the memory.
        embedding: of the tokens.
        cell: the cell itself, where `settings.cell` only names it.
        counts: how often each token comes in training `(tokens,)`.

    Source:
        Y. Wu et al., Google's Neural Machine Translation System, 2016, section 3: the lowest layer asks, and the layers
        above it read the answers. Differences: the first layer does not read the answers itself, one or two layers
        are the usual number, and the readout is that of T. Luong et al., 2015, equation 5, with the last token.
    """

    def __init__(
        self,
        settings: Any,
        tokens: int,
        memory_size: int,
        embedding: Embedding,
        *,
        cell: Cell | None = None,
        counts: Tensor | None = None,
    ):
        super().__init__()
        self.settings = settings
        self.tokens = tokens
        self.embedding = embedding
        width = settings.embedding
        attends = settings.attention != "none"
        read = memory_size if attends else 0
        self.dropout = SequenceDropout(settings.input_dropout) if settings.input_dropout else None
        one = settings.model_copy(update={"num_layers": 1, "layer_sizes": ()})
        above = one.model_copy(update={"num_layers": max(1, settings.decoder_layers - 1)})
        self.lower = build_body(one, width + (memory_size if settings.input_feeding else 0), cell)
        self.attention = None
        if attends:
            self.attention = CrossAttention(
                self.lower.output_size,
                memory_size,
                kind=settings.attention,
                size=settings.attention_size,
                coverage=settings.coverage,
            )
        self.upper = None if settings.decoder_layers == 1 else build_body(above, self.lower.output_size + read, cell)
        top = (self.upper or self.lower).output_size
        self.output_dropout = SequenceDropout(settings.output_dropout) if settings.output_dropout else None
        self.readout = nn.Linear(top + read + width, width)
        self.switch = nn.Linear(top + read + width, 1) if settings.copying else None
        table = embedding.table.weight if settings.tied else None
        self.head = Softmax(width, tokens, counts=counts, tied=table)
        self.memory_size = memory_size

    @property
    def layers(self) -> list[Recurrent]:
        """The recurrent layers, the first one first."""
        return [self.lower] if self.upper is None else [self.lower, self.upper]

    def start(self, states: tuple[State, ...], memory: Ragged | None, source: Tensor | None = None) -> DecoderState:
        """Return the state before the first token.

        Args:
            states: of each of `layers`.
            memory: what is attended to, `(total, memory size)`.
            source: ids of its steps, `(sequences, longest)`, to copy from.
        """
        batch, like = states[0].batch_size, next(iter(states[0].tensors.values()))
        state = DecoderState(states, torch.arange(batch))
        if self.attention is None or memory is None:
            return state
        read = self.attention.read(memory)
        context = like.new_zeros(batch, self.memory_size) if self.settings.input_feeding else None
        covered = like.new_zeros(batch, read.values.shape[1]) if self.settings.coverage else None
        return DecoderState(states, state.sequence, read, source if self.switch is not None else None, context, covered)

    def forward(self, tokens: Ragged, state: DecoderState) -> Decoded:
        """Read tokens on from a state.

        Args:
            tokens: ids `(total,)`: any number for each sequence, or one for each of the state's rows.
            state: with one row a sequence unless each row has one token.
        """
        rows = self.embedding(tokens)
        if self.dropout is not None:
            rows = self.dropout(rows)
        settings = self.settings
        stepwise = (settings.input_feeding or settings.coverage) and self.attention is not None
        longest = int(tokens.lengths.max()) if tokens.batch_size else 0
        attend = self._attended_stepwise if stepwise and longest > 1 else self._attended
        steps, contexts, weights, state = attend(rows, state)
        hidden, states = steps, state.states
        if self.upper is not None:
            both = [steps.data] if contexts is None else [steps.data, contexts]
            hidden, last = self.upper(steps.replace(torch.cat(both, 1)), state.states[1])
            state = state._replace(states=(states[0], last))
        dropped = hidden if self.output_dropout is None else self.output_dropout(hidden)
        joined = torch.cat([dropped.data, *([] if contexts is None else [contexts]), rows.data], 1)
        copied = None if self.switch is None else self.switch(joined)
        readout = rows.replace(torch.tanh(self.readout(joined)))
        if self.output_dropout is not None:
            readout = self.output_dropout(readout)
        return Decoded(readout, hidden, state, weights, copied)

    def _attended(self, rows: Ragged, state: DecoderState) -> tuple[Ragged, Tensor | None, Tensor | None, DecoderState]:
        """Run the first layer and the attention over all steps at once."""
        if state.context is not None:
            rows = rows.replace(torch.cat([rows.data, state.context], 1))
        steps, last = self.lower(rows, state.states[0])
        state = state._replace(states=(last, *state.states[1:]))
        if self.attention is None or state.memory is None:
            return steps, None, None, state
        queries = steps
        if steps.batch_size != len(state.memory.values):
            # Several rows of a sequence with one token each are several queries of its memory.
            queries = Ragged(steps.data, torch.bincount(state.sequence, minlength=len(state.memory.values)))
        found = self.attention(queries, state.memory, state.covered)
        if state.covered is not None:
            state = state._replace(covered=state.covered + found.weights)
        if state.context is not None:
            state = state._replace(context=found.contexts)
        return steps, found.contexts, found.weights, state

    def _attended_stepwise(
        self, rows: Ragged, state: DecoderState
    ) -> tuple[Ragged, Tensor | None, Tensor | None, DecoderState]:
        """Run the first layer and the attention step by step, over the sequences that have the step."""
        lengths, offsets = rows.lengths, rows.offsets[:-1]
        steps, contexts, weights, penalties = [], [], [], []
        positions, ends = [], []
        active = torch.arange(rows.batch_size)
        whole = state.memory.values.shape[1] if state.memory is not None else 0
        now = state
        for step in range(int(lengths.max())):
            going = lengths[active] > step
            if not going.all():
                ends.append((active[~going], now.select((~going).nonzero().squeeze(1))))
                now, active = now.select(going.nonzero().squeeze(1)), active[going]
            position = offsets[active] + step
            before = now.covered
            token = Ragged(rows.data[position.to(rows.data.device)], torch.ones_like(active))
            output, context, weight, now = self._attended(token, now)
            assert context is not None
            assert weight is not None
            if before is not None:
                penalties.append(torch.minimum(before, weight).sum())
            positions.append(position)
            steps.append(output.data)
            contexts.append(context)
            weights.append(functional.pad(weight, (0, whole - weight.shape[1])))
        ends.append((active, now))
        if penalties and self.training:
            add_penalty(sum(penalties) / rows.total)  # type: ignore[arg-type]
        back = torch.cat(positions).argsort().to(rows.data.device)
        order = torch.cat([index for index, _ in ends]).argsort()
        last = _joined([each.states[0] for _, each in ends], order)
        state = state._replace(states=(last, *state.states[1:]))
        if state.context is not None:
            state = state._replace(context=_rows_of(torch.cat([each.context for _, each in ends]), order))
        if state.covered is not None:
            parts = [functional.pad(each.covered, (0, whole - each.covered.shape[1])) for _, each in ends]
            state = state._replace(covered=_rows_of(torch.cat(parts), order))
        found = (torch.cat(parts)[back] for parts in (steps, contexts, weights))
        output, context, weight = found
        return rows.replace(output), context, weight, state

    def step(self, tokens: Tensor, state: DecoderState) -> Step:
        """Read one token of each row.

        Args:
            tokens: ids `(rows,)`.
            state: with as many rows.
        """
        decoded = self(Ragged(tokens, torch.ones(len(tokens), dtype=torch.int64)), state)
        logits = self.head.logits(decoded.rows.data) if decoded.copied is None else self._mixed(decoded)
        return Step(logits, decoded.state, decoded.weights)

    def select(self, state: DecoderState, rows: Tensor) -> DecoderState:
        """Return these rows of a state, repeated or left out."""
        return state.select(rows)

    def logits(self, decoded: Decoded) -> Tensor:
        """Return the logits of the next token, `(total, tokens)`.

        Where tokens are copied, they are logarithms of probabilities.
        """
        return self.head.logits(decoded.rows.data) if decoded.copied is None else self._mixed(decoded)

    def loss(self, decoded: Decoded, targets: Ragged) -> Tensor:
        """Return the mean cross entropy of the targets `(total,)`, in nats.

        In training, what label smoothing adds is a penalty (`elman.nn.penalties`).
        """
        rows, ids = decoded.rows.data, targets.data
        smoothing = self.settings.label_smoothing if self.training else 0.0
        if decoded.copied is not None:
            found = self._mixed(decoded)
            loss = -found.gather(1, ids[:, None]).mean()
            if smoothing:
                add_penalty(-smoothing * (loss + found.mean()))
            return loss
        loss = self.head.loss(rows, ids)
        if smoothing:
            add_penalty(smoothing * self._smoothed(rows, ids))
        return loss

    def _smoothed(self, rows: Tensor, ids: Tensor) -> Tensor:
        """Return the mean logit of the targets less the mean logit of all tokens."""
        weight, bias = self.head.weight, self.head.bias
        true = (rows * functional.embedding(ids, weight)).sum(1) + bias[ids]
        every = rows @ weight.mean(0) + bias.mean()
        return (true - every).mean()

    def _mixed(self, decoded: Decoded) -> Tensor:
        """Return the logarithms of the probabilities with those of copied tokens."""
        state, weights, copied = decoded.state, decoded.weights, decoded.copied
        assert state.source is not None
        assert weights is not None
        assert copied is not None
        own = functional.log_softmax(self.head.logits(decoded.rows.data), 1)
        index = state.sequence[decoded.rows.sequence_index().cpu()]
        source = state.source[index.to(own.device)]
        found = own.new_zeros(own.shape).scatter_add(1, source, weights)
        # A token that is not in the source has no share of the attention.
        lowest = torch.finfo(own.dtype).tiny
        return torch.logaddexp(
            own + functional.logsigmoid(copied),
            found.clamp(min=lowest).log() + functional.logsigmoid(-copied),
        )


def _joined(states: Sequence[State], order: Tensor) -> State:
    joined = {name: torch.cat([state.tensors[name] for state in states], 1) for name in states[0].tensors}
    return State({name: tensor.index_select(1, order.to(tensor.device)) for name, tensor in joined.items()})


def _rows_of(tensor: Tensor, rows: Tensor) -> Tensor:
    """Return rows of a tensor, whose numbers may be on the CPU."""
    return tensor.index_select(0, rows.to(tensor.device))
