"""The fused cross entropy and the heads where torch records, transforms, casts or differentiates them twice."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from elman.errors import ShapeError
from elman.nn.linear_cross_entropy import TOKENS_AT_A_TIME, linear_cross_entropy
from elman.nn.softmax import AdaptiveSoftmax, SampledSoftmax, Softmax

# By torch's own rules for tangents, and by its compiler.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
TOTAL, FEATURES, TOKENS = 9, 16, 11
HEADS = {
    "full": partial(Softmax, FEATURES, TOKENS),
    "projected": lambda: Softmax(FEATURES, TOKENS, tied=nn.Parameter(torch.randn(TOKENS, 3))),
    # With all tokens in the sum, whatever is drawn.
    "sampled": partial(SampledSoftmax, FEATURES, TOKENS, samples=TOKENS),
    "adaptive": lambda: AdaptiveSoftmax(FEATURES, TOKENS, cutoffs=(3, 6), counts=torch.arange(TOKENS)),
}


class Fused(nn.Linear):
    """The function itself, as a head."""

    def __init__(self, bias: bool = True):
        super().__init__(FEATURES, TOKENS, bias=bias)

    def logits(self, hidden: Tensor) -> Tensor:
        return self(hidden)

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return linear_cross_entropy(hidden, self.weight, self.bias, targets)


HEADS |= {"fused": Fused, "fused without bias": partial(Fused, bias=False)}
each_head = pytest.mark.parametrize("name", HEADS)


def drawn(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor, Tensor]:
    """A head, rows and targets, some of them equal."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(TOTAL, FEATURES, generator=generator, dtype=torch.float64).to(dtype)
    return HEADS[name]().to(dtype), hidden, torch.tensor([0, 10, 3, 3, 7, 1, 9, 5, 2])


def plain_loss(head, hidden: Tensor, targets: Tensor) -> Tensor:
    """The loss by torch; also of logarithms of probabilities."""
    return nn.functional.cross_entropy(head.logits(hidden), targets)


def values(head: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in head.named_parameters()}


class Loss(nn.Module):
    """A head whose call is the loss."""

    def __init__(self, head: nn.Module, loss):
        super().__init__()
        self.head, self.loss = head, loss

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return self.loss(self.head, hidden, targets)


def own_loss(head, hidden: Tensor, targets: Tensor) -> Tensor:
    return head.loss(hidden, targets)


def functions(head: nn.Module):
    """The loss of rows, parameters and targets: by the head, and by torch."""
    modules = [Loss(head, loss) for loss in (own_loss, plain_loss)]
    return [
        lambda rows, learned, targets, module=module: torch.func.functional_call(
            module, {f"head.{name}": value for name, value in learned.items()}, (rows, targets)
        )
        for module in modules
    ]


# Refusals


@each_head
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        ([1], r"Expected targets of shape \(9,\) and torch.int64, got shape \(1,\)"),
        ([1, 2], r"got shape \(2,\)"),
        ([1] * 10, r"got shape \(10,\)"),
        ([[1]] * 9, r"got shape \(9, 1\)"),
        ([1.0] * 9, "torch.float32"),
        ([-100, *[1] * 8], "Expected targets from 0 to 10, got targets from -100 to 1"),
        ([-1, *[1] * 8], "got targets from -1 to 1"),
        ([11, *[1] * 8], "got targets from 1 to 11"),
    ],
)
def test_targets_that_are_not_one_token_for_each_row_are_refused(name, training, targets, reason):
    head, hidden, _ = drawn(name)
    head.train(training)
    for grad in (True, False):
        with torch.set_grad_enabled(grad), pytest.raises(ShapeError, match=reason) as caught:
            head.loss(hidden, torch.tensor(targets))
        assert caught.value.fix


@each_head
@pytest.mark.parametrize("shape", [(TOTAL, FEATURES + 1), (TOTAL, 1), (TOTAL,), (1, TOTAL, FEATURES)])
def test_rows_of_another_shape_are_refused(name, shape):
    head, _, targets = drawn(name)
    with pytest.raises(ShapeError, match=r"Expected hidden features of shape \(total, 16\)"):
        head.loss(torch.zeros(shape, dtype=torch.float64), targets)


@pytest.mark.parametrize("tokens", [TOKENS, TOKENS_AT_A_TIME + 1])
def test_weights_of_another_shape_are_refused(tokens):
    hidden, weight, targets = torch.zeros(3, 2), torch.zeros(tokens, 2), torch.tensor([0, 1, 2])
    for bias in (torch.zeros(1), torch.zeros(tokens + 1), torch.zeros(tokens, 1), torch.zeros(())):
        with pytest.raises(ShapeError, match=rf"Expected bias of shape \({tokens},\)"):
            linear_cross_entropy(hidden, weight, bias, targets)
        with pytest.raises(ShapeError, match=rf"Expected others of shape \({tokens},\)"):
            linear_cross_entropy(hidden, weight, None, targets, others=bias)
    with pytest.raises(ShapeError, match="Expected a weight"):
        linear_cross_entropy(hidden, torch.zeros(2), None, targets)
    with torch.no_grad(), pytest.raises(ShapeError, match=f"from 0 to {tokens - 1}, got targets from -100 to 2"):
        linear_cross_entropy(hidden, weight, None, torch.tensor([0, -100, 2]))


@each_head
def test_targets_are_also_refused_where_torch_transforms(name):
    head, hidden, targets = drawn(name)
    ours, _ = functions(head)
    for wrong in (-100, TOKENS):
        several = torch.stack([targets, targets.index_fill(0, torch.tensor(2), wrong)])
        with pytest.raises(ShapeError, match="Expected targets from 0 to 10"):
            torch.func.vmap(ours, in_dims=(None, None, 0), randomness="different")(hidden, values(head), several)


# Autocast


@each_head
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_autocast_the_loss_is_float32(name, dtype):
    head, hidden, targets = drawn(name, torch.float32)
    hidden = hidden.to(dtype).requires_grad_()
    inputs = [hidden, *head.parameters()]
    found = []
    with torch.autocast("cpu", torch.bfloat16):
        for loss in (head.loss(hidden, targets), plain_loss(head, hidden, targets)):
            assert loss.dtype == torch.float32
            found.append([loss, *torch.autograd.grad(loss, inputs)])
        with torch.no_grad():
            assert head.loss(hidden, targets).dtype == torch.float32
    assert [value.dtype for value in found[0]] == [value.dtype for value in found[1]]
    # torch rounds the logits to bfloat16.
    torch.testing.assert_close(*found, rtol=0.05, atol=0.01)


def test_under_autocast_float64_stays_and_large_vocabularies_work():
    head, hidden, targets = drawn("full")
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(head.loss(hidden, targets), plain_loss(head, hidden, targets))
    head = Softmax(FEATURES, TOKENS_AT_A_TIME + 1)
    expected = head.loss(hidden.float(), targets)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        torch.testing.assert_close(head.loss(hidden.float(), targets), expected)


# Derivatives


@each_head
def test_the_gradient_of_a_gradient_is_torchs(name):
    head, hidden, targets = drawn(name)
    inputs = [hidden.requires_grad_(), *head.parameters()]
    found = []
    for loss in (head.loss(hidden, targets), plain_loss(head, hidden, targets)):
        first = torch.autograd.grad(loss, inputs, create_graph=True)
        second = torch.autograd.grad(sum((slope**3).sum() for slope in first), inputs)
        found.append([*first, *second])
    torch.testing.assert_close(*found)
    assert found[0][-1].ne(0.0).any()


def test_what_is_added_to_other_tokens_is_in_the_gradient_of_a_gradient():
    head, hidden, targets = drawn("fused")
    others = torch.tensor([-float("inf"), 0.5, *[0.0] * (TOKENS - 3), -1.0], dtype=torch.float64)
    loss = lambda hidden, weight, bias: linear_cross_entropy(hidden, weight, bias, targets, others=others)  # noqa: E731
    inputs = [hidden.requires_grad_(), head.weight, head.bias]
    assert torch.autograd.gradcheck(loss, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(loss, inputs)


@each_head
def test_gradients_batched_and_twice(name):
    head, hidden, targets = drawn(name)
    inputs = [hidden.requires_grad_(), *head.parameters()]
    slopes = torch.tensor([1.0, -2.0], dtype=torch.float64)
    found = [
        torch.autograd.grad(loss, inputs, slopes, is_grads_batched=True)
        for loss in (head.loss(hidden, targets), plain_loss(head, hidden, targets))
    ]
    torch.testing.assert_close(*found)
    loss = head.loss(hidden, targets)
    for _ in range(2):
        loss.backward(retain_graph=True)
    torch.testing.assert_close([value.grad for value in inputs], [2.0 * slope[0] for slope in found[1]])


# Recorded and transformed


@each_head
def test_the_transformations_of_torch(name):
    head, hidden, targets = drawn(name)
    learned = values(head)
    transformed = [
        [
            torch.func.grad(loss, argnums=(0, 1))(hidden, learned, targets),
            torch.func.jvp(lambda rows, loss=loss: loss(rows, learned, targets), (hidden,), (hidden.cos(),)),
            torch.func.jacfwd(torch.func.grad(loss), randomness="same")(hidden, learned, targets),
            torch.func.vmap(torch.func.grad(loss, argnums=1), in_dims=(0, None, 0), randomness="different")(
                hidden.unsqueeze(1), learned, targets.unsqueeze(1)
            ),
        ]
        for loss in functions(head)
    ]
    torch.testing.assert_close(*transformed)


@each_head
def test_make_fx_records_it_for_other_targets(name):
    head, hidden, targets = drawn(name)
    losses = functions(head)
    gradient = lambda rows, learned, targets: torch.func.grad(losses[0])(rows, learned, targets)  # noqa: E731
    recorded = make_fx(gradient)(hidden, values(head), targets)
    others = targets.flip(0) // 2
    expected = torch.func.grad(losses[1])(hidden, values(head), others)
    torch.testing.assert_close(recorded(hidden, values(head), others), expected)


@each_head
def test_fake_tensors_have_gradients(name):
    with FakeTensorMode():
        head, hidden = HEADS[name](), torch.randn(TOTAL, FEATURES, requires_grad=True)
        loss = head.loss(hidden, torch.zeros(TOTAL, dtype=torch.int64))
        loss.backward()
    assert loss.shape == ()
    assert hidden.grad is not None
    assert hidden.grad.shape == hidden.shape


@each_head
def test_traced_it_reads_other_targets(name):
    head, hidden, targets = drawn(name)
    traced = torch.jit.trace(Loss(head, own_loss), (hidden, targets), check_trace=False)
    others = targets.flip(0) // 2
    torch.testing.assert_close(traced(hidden, others), plain_loss(head, hidden, others))


def test_a_shape_without_numbers_is_enough():
    hidden, weight, bias = (torch.zeros(size, device="meta") for size in ((3, 2), (4, 2), (4,)))
    loss = linear_cross_entropy(hidden, weight, bias, torch.zeros(3, dtype=torch.int64, device="meta"))
    assert (loss.shape, loss.device.type) == ((), "meta")


@each_head
def test_compiled_whole_it_has_torchs_gradients(name):
    head, hidden, targets = drawn(name)
    inputs = [hidden.requires_grad_(), *head.parameters()]
    compiled = torch.compile(Loss(head, own_loss), backend="aot_eager", fullgraph=True)
    found = [
        [loss, *torch.autograd.grad(loss, inputs)]
        for loss in (compiled(hidden, targets), plain_loss(head, hidden, targets))
    ]
    torch.testing.assert_close(*found)
    with pytest.raises((IndexError, RuntimeError), match=r"out of (range|bounds)"):
        compiled(hidden, targets - 100)


def test_a_sampled_head_draws_the_same_tokens_where_torch_transforms():
    head, hidden, targets = SampledSoftmax(FEATURES, TOKENS, samples=4).double(), *drawn("full")[1:]
    ours, _ = functions(head)
    found = []
    for loss in (ours, torch.func.grad_and_value(ours)):
        torch.manual_seed(3)
        answer = loss(hidden, dict(head.named_parameters()), targets)
        found.append(answer[1] if isinstance(answer, tuple) else answer)
    torch.testing.assert_close(*found)
    assert not torch.isclose(found[0], plain_loss(head, hidden, targets), rtol=1e-3)
