"""A cell run over whole sequences: the recurrent layer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, overload

import torch
from torch import Tensor, nn

from elman.cells import find_cell
from elman.compiler import dispatch
from elman.compiler.cell import Cell
from elman.compiler.graph import Graph
from elman.data.ragged.ragged import Ragged
from elman.errors import ShapeError, UsageError
from elman.nn import keras_layout
from elman.nn.checks import refuse, wrong_flag, wrong_mapping, wrong_name, wrong_probability, wrong_size
from elman.nn.recurrent_inputs import check_dtype, read_constants, read_ids, read_input, read_state, rows_read
from elman.nn.regularisers import draw_inputs, drop_features, drop_weights
from elman.nn.state import State
from elman.nn.stream import Stream
from elman.nn.weights import Init, Weights
from elman.settings.network import Merge as Merge
from elman.tensors import Kind, is_transformed, kind_of

BETWEEN_LAYERS = "it acts between layers; put a SequenceDropout before or after the layer"
MERGES: dict[Merge, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda forward, backward: torch.cat([forward, backward], -1),
    "sum": torch.add,
    "mul": torch.mul,
    "average": lambda forward, backward: (forward + backward) / 2,
}


class Recurrent(nn.Module):
    """A recurrent layer, or a stack of them, over sequences of any length.

    Args:
        cell: a cell, or the name of one in `elman.CELLS`. A bidirectional layer also takes a pair: (forward, backward),
            two cells with the same states and constants, such as one cell with two activations.
        input_size: number of features of a step of the input.
        hidden_size: number of units: the size of each state whose size the cell does not declare.
        num_layers: number of layers in the stack; each reads the output of the layer before it. Default 1.
        bidirectional: whether each layer also reads every sequence from its end to its start. Default False.
        merge: how the outputs of the two directions are merged: `"concat"`, `"sum"`, `"mul"`, `"average"`, or `None` to
            return a pair of outputs (the layers below the last then concatenate). Default `"concat"`.
        go_backwards: whether to read every sequence from its end to its start, and return the outputs in that order, as
            Keras does. Default False.
        dropout: probability, from 0 to below 1, of dropping a feature between two layers of the stack in training. A
            sequence has one mask for all its steps, and the remaining features are scaled up (Y. Gal, Z. Ghahramani,
            2016). Default 0; needs two layers or more.
        weight_drop: probability, from 0 to below 1, of dropping a weight of the recurrent matrices in training, for
            all steps of all sequences of a call; see `elman.nn.regularisers.drop_weights`. Default 0.
        stateful: whether a call continues from the last states of the previous call, until `reset_state` is called.
            Default False.
        init: how the parameters are initialised: `"keras"` or `"torch"`; see `elman.nn.weights.Weights`. Default
            `"keras"`.
        constants: size of each constant that the cell takes, by name. Default none.
        target: name of the target that runs the layer. `None`, the default, lets elman choose; `explain` says which
            target runs the layer, and why.

    Raises:
        UsageError: a setting that is out of range, or two settings that exclude each other.
        CellError: the cell's step cannot be traced.

    >>> import torch
    >>> layer = Recurrent("lstm", input_size=3, hidden_size=5)
    >>> steps, last = layer(torch.zeros(2, 7, 3))
    >>> steps.shape, last.h.shape, last.c.shape
    (torch.Size([2, 7, 5]), torch.Size([2, 5]), torch.Size([2, 5]))
    """

    def __init__(
        self,
        cell: Cell | str | tuple[Cell | str, Cell | str],
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        merge: Merge | None = "concat",
        go_backwards: bool = False,
        dropout: float = 0.0,
        weight_drop: float = 0.0,
        stateful: bool = False,
        init: Init = "keras",
        constants: Mapping[str, int] | None = None,
        target: str | None = None,
    ):
        super().__init__()
        flags = {"bidirectional": bidirectional, "go_backwards": go_backwards, "stateful": stateful}
        _check_settings(num_layers, flags, merge, dropout, weight_drop, init, constants)
        self.cells = _read_cells(cell, bidirectional)
        self.cell = self.cells[0]
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.merge: Merge | None = merge
        self.go_backwards = go_backwards
        self.dropout = dropout
        self.weight_drop = weight_drop
        self.stateful = stateful
        self.target = dispatch.choose(target).target if target else None
        self.cell_sizes: list[tuple[int, int, dict[str, int]]] = []
        self._carried: State | None = None
        # Follows the layer to its float type and device, also where there are no parameters.
        self._empty = torch.empty(0)
        width = input_size
        for layer in range(num_layers):
            self.cell_sizes.append((width, hidden_size, dict(constants or {})))
            graphs = [self.cells[direction].trace(*self.cell_sizes[-1]) for direction in self._directions]
            for direction, graph in zip(self._directions, graphs, strict=True):
                self.add_module(_weights_name(layer, direction), Weights(graph, hidden_size, init))
                _check_states(self._weights_of(0, False).graph, graph, _weights_name(layer, direction))
            width = _merged_size(graphs, "concat" if layer < num_layers - 1 and merge is None else merge)
        if weight_drop and not self._weights_of(0, False).graph.recurrent_matrices:
            raise UsageError(
                f"Expected a cell with a recurrent matrix for weight_drop, got `{self.cell.name}`, which has none.",
                fix="Leave out weight_drop, or use another cell.",
            )
        self.output_size = width

    @property
    def like(self) -> Tensor:
        """A tensor of the float type and on the device with which the layer computes."""
        parameter = self._parameter()
        return self._empty if parameter is None else parameter

    def _parameter(self) -> Tensor | None:
        """Return one of the parameters, if there are any."""
        # A walk over all modules takes longer than all other checks of a call.
        for parameter in self._weights_of(0, False)._parameters.values():
            if parameter is not None:
                return parameter
        return next(self.parameters(), None)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Recurrent":
        self._empty = fn(self._empty)
        return super()._apply(fn, recurse)

    @property
    def _directions(self) -> tuple[bool, ...]:
        return (False, True) if self.bidirectional else (False,)

    def _weights_of(self, layer: int, backward: bool) -> Weights:
        name = _weights_name(layer + self.num_layers if layer < 0 else layer, backward)
        if name not in self._modules:
            raise UsageError(f"Expected one of {', '.join(self._modules)}; got {name}.", fix="Layers count from 0.")
        return self._modules[name]  # type: ignore[return-value]

    def _all_weights(self) -> list[Weights]:
        return [self._weights_of(layer, backward) for layer in range(self.num_layers) for backward in self._directions]

    @overload
    def forward(
        self, inputs: Tensor, initial: Any = None, table: Tensor | None = None, **constants: Tensor
    ) -> tuple[Tensor, State]: ...
    @overload
    def forward(
        self, inputs: Ragged, initial: Any = None, table: Tensor | None = None, **constants: Tensor
    ) -> tuple[Ragged, State]: ...
    def forward(
        self, inputs: Any, initial: Any = None, table: Tensor | None = None, **constants: Tensor
    ) -> tuple[Any, State]:
        """Run the cell over every sequence.

        Args:
            inputs: a `Ragged` batch with data `(total, input_size)`, or a tensor `(batch, time, input_size)`.
            initial: the initial states: a `State`, a mapping from names to tensors `(batch, size)` or
                `(layers · directions, batch, size)`, a sequence of such tensors in the order of the cell's states, or,
                for a cell with one state, the tensor itself. Default zeros.
            table: rows `(ids, input_size)`, such as those of an embedding. The inputs are then ids, `(total,)` or
                `(batch, time)`, and each step reads the row of its id. Where there are fewer ids than steps, the first
                layer multiplies each row once and not at each step.
            constants: each constant of the cell by its name, `(batch, size)`.

        Returns:
            The outputs at every step in the form of the input: `Ragged`, or `(batch, time, output_size)`; a pair of
            them for `merge=None`. And the last states, a `State`, whose `output` is the last output.

        Raises:
            ShapeError: an input, a state or a constant of another shape or type.
            UsageError: the batch of a stateful layer has another size than the carried states.
        """
        size, first = self.input_size, self._weights_of(0, False)
        batch = read_input(inputs, size) if table is None else read_ids(inputs, table, size)
        like = batch.data if table is None else table
        check_dtype(like, self._parameter())
        shape = None if isinstance(inputs, Ragged) else inputs.shape[:2]
        state = self._initial_state(initial, batch.batch_size, like)
        if self.go_backwards:
            batch = batch.reverse()
        outputs, last = self._run(batch, state, read_constants(constants, first.graph, batch), table)
        if self.stateful:
            self._carry(last)
        finished = [batch.replace(output) if shape is None else output.unflatten(0, shape) for output in outputs]
        return (tuple(finished) if len(finished) > 1 else finished[0]), last

    def _carry(self, last: State) -> None:
        """Keep the last states for the next call, unless they are valid in this call only."""
        if is_transformed() or torch.compiler.is_exporting():
            return
        if not torch.compiler.is_compiling() and any(kind_of(each) is Kind.OTHER for each in last.tensors.values()):
            return
        with torch.inference_mode(False):
            self._carried = last.detach().clone()

    def _run(
        self, batch: Ragged, state: State, constants: list[Tensor], table: Tensor | None
    ) -> tuple[list[Tensor], State]:
        last: dict[str, list[Tensor]] = {name: [] for name in self.cell.states}
        data, outputs, ends = batch.data if table is None else table, [], []
        ids = None if table is None else batch.data
        if ids is not None and not torch.compiler.is_compiling() and len(data) > len(ids):
            data, ids = rows_read(ids, data)
        for layer in range(self.num_layers):
            if layer:
                data = drop_features(data, batch, self.dropout, self.training)
            outputs, ends = [], []
            for backward in self._directions:
                index = layer * len(self._directions) + backward
                weights = self._weights_of(layer, backward)
                initial = [state.tensors[name][index] for name in self.cell.states]
                graph = weights.graph if self.training else weights.expected
                output, finals = dispatch.run(
                    graph,
                    drop_weights(graph, weights.named(), self.weight_drop, self.training),
                    [data, *constants, *draw_inputs(graph, batch, data)],
                    initial,
                    batch.order,
                    backward=backward,
                    target=self.target,
                    ids=None if layer else ids,
                )
                outputs.append(output)
                ends.append(_end(graph, batch, output, finals, backward))
                for name, tensor in zip(self.cell.states, finals, strict=True):
                    last[name].append(tensor)
            merge = "concat" if self.merge is None and layer < self.num_layers - 1 else self.merge
            outputs, ends = _merged(outputs, merge), _merged(ends, merge)
            data = outputs[0]
        tensors = {
            name: torch.stack(parts) if len(parts) > 1 else parts[0].unsqueeze(0) for name, parts in last.items()
        }
        end = tuple(ends) if len(ends) > 1 else ends[0]
        return outputs, State._of(tensors, self.bidirectional, end)

    def _initial_state(self, initial: Any, batch_size: int, like: Tensor) -> State:
        if initial is None and self._carried is not None:
            if self._carried.batch_size != batch_size:
                raise UsageError(
                    f"Expected a batch of {self._carried.batch_size} sequences, whose states this stateful layer "
                    f"carries, got {batch_size}.",
                    fix="Call reset_state() before other sequences, or give the states: layer(batch, state).",
                )
            return self._carried.to(like)
        zeros = self.zero_state(batch_size, like=like)
        return zeros if initial is None else read_state(initial, zeros)

    def zero_state(self, batch_size: int, *, like: Tensor | None = None) -> State:
        """Return states of zeros for a batch.

        Args:
            batch_size: number of sequences.
            like: a tensor of the wanted float type, on the wanted device. Default `like` of the layer.
        """
        graph = self._weights_of(0, False).graph
        like = self.like if like is None else like
        layers = self.num_layers * len(self._directions)
        zeros = {node.attribute[0]: like.new_zeros(layers, batch_size, node.size) for node in graph.states}
        return State._of(zeros, self.bidirectional)

    def stream(self, state: State | None = None, *, batch_size: int = 1) -> Stream:
        """Return a stream that runs the layer one step at a time.

        Args:
            state: the states to continue from. Default zeros.
            batch_size: number of sequences that run side by side, if no state is given. Default 1.

        Raises:
            UsageError: the layer reads backward, or takes constants; or the state is not a `State`.
            ShapeError: a state of other shapes or of another type than the layer's.

        >>> stream = Recurrent("gru", 3, 5).stream()
        >>> stream.step(torch.ones(1, 3)).shape
        torch.Size([1, 5])
        """
        refuse(wrong_size("batch_size", batch_size))
        return Stream(self, self.zero_state(batch_size) if state is None else state)

    def reset_state(self) -> None:
        """Forget the states that a stateful layer carries: the next call starts from zeros."""
        self._carried = None

    def weights(self, layer: int = 0, backward: bool = False) -> dict[str, Tensor]:
        """Return the parameters of one layer in one direction, by name.

        Args:
            layer: index of the layer, from 0; -1 is the last.
            backward: whether to return the backward direction of a bidirectional layer.

        Returns:
            `affine/position` is a matrix `(operand size, affine size)`; `affine/bias` and the name of a vector are
            `(size,)`. They are the parameters themselves: change them in place under `torch.no_grad()`. A
            parametrized or pruned one (see `elman.nn.named_parameters`) is computed from its parameters.
        """
        return self._weights_of(layer, backward).named()

    def get_weights(self) -> list[Tensor]:
        """Return copies of all parameters in Keras's order: W, H, b of each layer, then vectors."""
        copies = [keras_layout.to_arrays(weights.graph, weights.named()) for weights in self._all_weights()]
        return [array.detach().clone() for arrays in copies for array in arrays]

    @torch.no_grad()
    def set_weights(self, arrays: Sequence[Any]) -> None:
        """Set all parameters from arrays in Keras's order, as `get_weights` returns them.

        Args:
            arrays: tensors or NumPy arrays.

        Raises:
            ShapeError: another number of arrays, or other shapes. No parameter is changed.
        """
        tensors = [torch.as_tensor(array) for array in arrays]
        wanted = [shape for weights in self._all_weights() for shape in keras_layout.shapes(weights.graph)]
        got = [tuple(tensor.shape) for tensor in tensors]
        if wanted != got:
            raise ShapeError(
                f"Expected arrays of shapes {wanted}, got {got}.",
                fix="Give W, H and b of each layer and direction, in this order.",
            )
        for weights in self._all_weights():
            count = len(keras_layout.shapes(weights.graph))
            mine, tensors = tensors[:count], tensors[count:]
            for name, value in keras_layout.from_arrays(weights.graph, mine).items():
                weights.assign(name, value)

    def explain(self) -> str:
        """Return which target runs this layer with its present type and device, and why."""
        return str(dispatch.choose(self.target, self.like.device, self.like.dtype, self._weights_of(0, False).graph))

    def extra_repr(self) -> str:
        """Return the settings for printing the module."""
        return f"{self.cell.name}, input_size={self.input_size}, hidden_size={self.hidden_size}"


def _weights_name(layer: int, backward: bool) -> str:
    return f"layer{layer}_backward" if backward else f"layer{layer}"


def _end(graph: Graph, batch: Ragged, output: Tensor, last: Sequence[Tensor], backward: bool) -> Tensor:
    """Return the last output, or for an empty sequence the initial state or 0."""
    if graph.output_state is not None:
        # A copy: changing the last output in place must not change the state that is passed on.
        return last[graph.output_state].clone()
    steps = batch.replace(output)
    return steps.first() if backward else steps.last()


def _merged(outputs: list[Tensor], merge: Merge | None) -> list[Tensor]:
    return outputs if len(outputs) == 1 or merge is None else [MERGES[merge](*outputs)]


def _merged_size(graphs: Sequence[Graph], merge: Merge | None) -> int:
    sizes = [graph.output.size for graph in graphs]
    if merge == "concat":
        return sum(sizes)
    if merge is not None and len(set(sizes)) > 1:
        raise UsageError(
            f"Expected outputs of one size from both directions to merge by `{merge}`, got {sizes[0]} and {sizes[1]}.",
            fix="Merge them by `concat`, or give both cells outputs of the same size.",
        )
    return sizes[0]


def _read_cells(cell: Any, bidirectional: bool) -> tuple[Cell, Cell]:
    if not isinstance(cell, tuple):
        return (find_cell(cell), find_cell(cell))
    if not bidirectional or len(cell) != 2:
        raise UsageError(
            f"Expected {'one cell or two' if bidirectional else 'one cell'}, since bidirectional is {bidirectional}, "
            f"got {len(cell)}.",
            fix="Give one cell, or with bidirectional=True a pair: (forward, backward).",
        )
    forward, backward = map(find_cell, cell)
    signatures = [(each.states, each.constants) for each in (forward, backward)]
    if signatures[0] != signatures[1]:
        raise UsageError(
            f"Expected two cells with the same states and constants, got {signatures[0]} and {signatures[1]}.",
            fix="Name the states and the constants of both cells alike.",
        )
    return forward, backward


def _check_states(first: Graph, graph: Graph, name: str) -> None:
    sizes = [{node.attribute[0]: node.size for node in each.states} for each in (first, graph)]
    if sizes[0] != sizes[1]:
        raise UsageError(
            f"{graph.name}: expected states of the sizes {sizes[0]}, as in layer0, got {sizes[1]} in {name}.",
            fix="A State holds those of all layers and directions as one tensor. Declare a size that does not depend "
            "on the input's, give the stack an input as wide as its layers' outputs, or build separate layers.",
        )


def _check_settings(
    num_layers: object,
    flags: Mapping[str, object],
    merge: object,
    dropout: float,
    weight_drop: float,
    init: object,
    constants: object,
) -> None:
    both = flags["bidirectional"] is True and flags["go_backwards"] is True
    alone = num_layers == 1 and not wrong_probability("dropout", dropout) and dropout > 0.0
    refuse(
        *(wrong_flag(name, value) for name, value in flags.items()),
        wrong_size("num_layers", num_layers),
        wrong_name("merge", merge, [*MERGES, None]),
        ["Expected go_backwards only without bidirectional, got both: leave out go_backwards."] if both else [],
        wrong_probability("dropout", dropout, below_one=True),
        [f"Expected dropout to be 0 for one layer, got {dropout!r}: {BETWEEN_LAYERS}."] if alone else [],
        wrong_probability("weight_drop", weight_drop, below_one=True),
        wrong_name("init", init, get_args(Init)),
        wrong_mapping("constants", constants or {}, "the size of each constant by its name, as {'topic': 3}"),
    )
