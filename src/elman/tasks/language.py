"""The task of predicting the next token of a text."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt

from elman.report.parts import Numbers, Part, Picture
from elman.settings import Settings
from elman.settings.network import LanguageNetworkSettings
from elman.settings.space import Choices, Space
from elman.settings.text import CoderSettings
from elman.settings.training import RunSettings
from elman.tasks.streams import Stream, Tokens
from elman.tasks.task import Batch, Column, Found, Metric, Read, Task

if TYPE_CHECKING:
    from torch import Tensor

    from elman.compiler.cell import Cell
    from elman.data.text.token_text import Counts
    from elman.language_network import LanguageNetwork
    from elman.nn.state import State
    from elman.tasks.baselines import Baseline


class LanguageSettings(CoderSettings, LanguageNetworkSettings, RunSettings):
    """Every setting of a language model: how text becomes tokens, the network's layers, the training, and these."""

    space: ClassVar[Space] = {"streams": Choices((16, 32, 64, 128))}

    epochs: PositiveInt = Field(10, description="Passes over the text.")
    learning_rate: float = Field(2e-3, gt=0, description="Learning rate of the optimizer.")
    clip_norm: float | None = Field(1.0, gt=0, description="Largest norm of the gradient, which is scaled down to it.")
    streams: PositiveInt = Field(32, description="Parts of the text that are read side by side: the batch size.")
    window: PositiveInt = Field(
        100,
        description="Tokens of each part in a minibatch. Gradients go back one window; the state is carried "
        "from window to window throughout an epoch.",
    )
    show_sample: NonNegativeInt = Field(0, description="Show a text of N tokens whenever the model is evaluated.")


class LanguageOptions(Settings):
    """How a text is evaluated."""

    dynamic: float | None = Field(
        None,
        ge=0,
        description="Rate at which a language model learns the text it reads. After each window the weights of a copy "
        "of the model go a step down the gradient of the window's loss; the model itself does not change.",
    )
    streams: PositiveInt | None = Field(
        None, description="Parts of the text that are read side by side. 1 is exact and slow."
    )
    window: PositiveInt | None = Field(None, description="Tokens of each part that are read at once.")


class Language(Task):
    """The next token of a text: cross entropy in nats, bits per character and per byte, perplexity.

    bits_per_character = loss · targets / (characters · ln 2)        perplexity = exp(loss)

    with the characters (or bytes) that the targets stand for, also where a token is a word; so that models of one text
    can be compared across kinds of tokens, as long as none of its tokens is unknown.
    """

    name = "language"
    summary = "the next token of a text"
    noun = "language model"
    settings_class = LanguageSettings
    options_class = LanguageOptions
    columns = (Column("text", Tokens),)
    source = Stream()
    baseline_names = ("n-gram",)
    metrics = (
        Metric("bits_per_character", note="What a character costs, on average, to be predicted."),
        Metric("bits_per_byte", note="The same for each byte of UTF-8."),
        Metric("perplexity", note="As unsure as among so many tokens, each as likely."),
        Metric("loss", note="Mean cross entropy, nats per token."),
    )
    use = ("elman generate {model} --length 500", "elman evaluate {model} {data}")
    effect = "; the model predicts them as one token, so that its scores are too good"
    damaged = "The weights are damaged, or the rate of dynamic evaluation is too high: lower it, or train again."
    examples = (
        "elman train language book.txt --out book",
        "elman train language wiki.xz --hidden-size 300 --num-layers 2 --streams 512 --out wiki",
        "elman train language train.txt --validation valid.txt --tokens words --tied --out words",
    )

    @classmethod
    def baselines(cls) -> "Sequence[Baseline]":
        """Return a model of n-grams."""
        # Imported late: numpy is needed only for training.
        from elman.tasks.ngram_baseline import NGram

        return (NGram("text"),)

    @property
    def metric(self) -> Metric:
        """Bits a character, or a byte where these are the tokens, unless the settings name another."""
        if self.settings.metric is None and self.settings.tokens == "bytes":
            return self.metrics[1]
        return super().metric

    @property
    def unit(self) -> str:
        """What the tokens are."""
        return self.settings.tokens

    def network(self, cell: "Cell | None") -> "LanguageNetwork":
        """Build the network: embed, recurrent body, softmax over the tokens."""
        # These import torch.
        import torch

        from elman.language_network import LanguageNetwork

        tokens = self.encoders["text"]
        counts = None if tokens.frequencies is None else torch.from_numpy(tokens.frequencies)
        return LanguageNetwork(self.settings, len(tokens.coder.vocabulary), counts=counts, cell=cell)

    def read(self, network: Any, batch: Batch, state: "State | None" = None) -> Read:
        """Read a window of every stream on from a state."""
        reading = network.read(batch["text"], state)
        loss = network.head.loss(reading.outputs.data, batch["next"])
        return Read(loss, len(batch["next"]), None, reading.last.detach())

    def scores(self, data: Any) -> "Scores":
        """Return the scores of `language_scores`."""
        return Scores(data.counts)

    def adapting(self, network: Any, options: Any) -> tuple[Any, "Callable[[Tensor], None] | None"]:
        """Return a copy that learns the text it reads, for dynamic evaluation.

        Source:
            T. Mikolov et al., Recurrent neural network based language model, 2010, section 2 (dynamic models);
            B. Krause et al., Dynamic Evaluation of Neural Sequence Models, 2018. Difference: plain gradient
            steps, neither scaled by the training text's gradients nor drawn back to the trained weights.
        """
        if options is None or options.dynamic is None:
            return network, None
        learning, rate = copy.deepcopy(network).eval(), options.dynamic
        return learning, lambda loss: _descend(learning, loss, rate)

    def sample(self, network: Any) -> str | None:
        """Return a text that the network writes, if the settings ask for one."""
        from elman.generation.generator import write_text

        settings = self.settings
        if not settings.show_sample:
            return None
        return write_text(network, self.encoders["text"].coder, settings.show_sample, settings.seed)

    def summary_of(self) -> str:
        """Return what this model does."""
        known = len(self.encoders["text"].coder.vocabulary)
        return f"Predicts the next token of a text; {known:,} {self.settings.tokens} are known."

    def title_of(self) -> str:
        """Return what the tokens are."""
        return f"{self.settings.tokens} of a text"

    def facts(self) -> dict[str, Any]:
        """Return the size of the vocabulary."""
        return {"vocabulary": len(self.encoders["text"].coder.vocabulary)}

    def report(self, found: Found) -> list[Part]:
        """Return the scores, and the last text that the model wrote."""
        written = [Picture("A text that the model wrote", found.samples[-1])] if found.samples else []
        return [Numbers(list(self.figures(found.scores))), *written]


class Scores:
    """Scores of a text.

    Args:
        counts: of the text.
    """

    def __init__(self, counts: "Counts"):
        self._counts = counts
        self._loss, self._tokens = 0.0, 0

    def update(self, batch: Batch, read: Read) -> None:
        """Count a window in."""
        self._loss += read.loss.item() * read.targets
        self._tokens += read.targets

    def compute(self) -> dict[str, float]:
        """Return every score."""
        return language_scores(self._loss / self._tokens, self._counts)


def language_scores(loss: float, counts: "Counts") -> dict[str, float]:
    """Return the scores of a text.

    Args:
        loss: mean over its tokens after the first, in nats.
        counts: of the text.

    Returns:
        `loss`, `bits_per_character`, `bits_per_byte`, `perplexity` (infinite beyond what a float holds), `tokens`
        predicted, and `unknown`, how many of those tokens the vocabulary does not have.

    >>> from elman.data.text.token_text import Counts
    >>> language_scores(math.log(2), Counts(tokens=9, characters=8, bytes=16, unknown=0))["bits_per_byte"]
    0.5
    """
    return {
        "loss": loss,
        "bits_per_character": loss / math.log(2) * _share(counts.tokens - 1, counts.characters),
        "bits_per_byte": loss / math.log(2) * _share(counts.tokens - 1, counts.bytes),
        "perplexity": math.exp(loss) if loss < 700 else math.inf,
        "tokens": counts.tokens - 1,
        "unknown": counts.unknown,
    }


def _share(targets: int, size: int) -> float:
    return targets / size if size else math.nan


def _descend(network: Any, loss: "Tensor", rate: float) -> None:
    """Take one step of plain gradient descent."""
    import torch

    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with torch.no_grad():
        for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
            if slope is not None:
                parameter.sub_(slope, alpha=rate)
