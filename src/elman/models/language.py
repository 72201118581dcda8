"""The language model: learns a text, predicts each next token of another one, and writes."""

from typing import Any, Literal, Self

from elman.data.text.coders import Coder
from elman.data.text.corpus import Text
from elman.errors import UsageError
from elman.generation.generator import GenerationSettings, Generator, Samples
from elman.models.model import Model
from elman.nn.state import State
from elman.settings import check_settings
from elman.tasks.language import Language
from elman.tasks.task import Task


class LanguageModel(Model):
    """A model of a text, token by token: characters, bytes, words or subwords.

    Attributes:
        coder_: from text to token ids and back; `coder_.vocabulary` has the tokens.
        history_: what training recorded, epoch by epoch.
        model_: the network.

    Raises:
        UsageError: there is no such setting.

    >>> model = LanguageModel(hidden_size=16, streams=4, window=10, epochs=20, learning_rate=0.02)
    >>> model.fit("to be or not to be. " * 20).evaluate("to be or not to be. " * 3)["perplexity"] < 2
    True
    """

    task = Language
    fitted_by = "fit(text)"

    coder_: Coder

    def fit(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, text: Text, validation: Text | None = None, **how: Any
    ) -> Self:
        """Learn a text of any length, in memory that does not grow with it.

        Args:
            text: the text itself; or a `Path` (unpacked if its name ends in .gz, .xz or .bz2), or an iterable of parts.
            validation: the same, by which epochs are compared.
            how: `folder` (where the text's tokens are also kept while they are needed, in place of a temporary file),
                `resume`, `listener`, `start`, as for `Model.fit`.

        Raises:
            UsageError, DataError, ModelError, TrainingError, TrainingInterrupted: as for `Model.fit`.
        """
        return super().fit(text, validation=None if validation is None else (validation,), **how)

    def evaluate(self, text: Text, **how: Any) -> dict[str, Any]:
        """Return the scores of a text.

        Args:
            text: as for `fit`.
            how: `dynamic`, the rate of dynamic evaluation: after each window the weights of a copy of the model go a
                step down the gradient of the window's loss; `streams`, parts of the text read side by side, each from
                a state of zeros (1 is exact and slow; by default as many as in training, but of 4,096 tokens at least,
                and 1 for dynamic evaluation); `window`, steps of each, which matters for dynamic evaluation only;
                `unknown`, `refuse` to make unknown tokens an error.

        Returns:
            `loss` (nats per token), `bits_per_character`, `bits_per_byte`, `perplexity`, `tokens` (all of the text but
            the first, which nothing precedes), `unknown` (how many of these the vocabulary does not have).

        Raises:
            UsageError: arguments that make no sense.
            DataError: a text that cannot be read, or with fewer than two tokens or than a window for each stream.
        """
        return super().evaluate(text, **how)

    def generate(self, prompt: str = "", *, state: State | None = None, **settings: Any) -> Generator:
        """Return an iterator over the text that the model writes, token by token.

        Each piece is given as soon as it is written.

        Args:
            prompt: what the text begins with; it is not part of the result. Without a prompt the first token is drawn
                from the network's scores before it has read anything.
            state: state to continue from, of a generator or of `read`.
            settings: by name, those of `GenerationSettings` and `SamplingSettings` but `samples`: `length` (tokens; the
                iterator does not end without it), `stop`, `temperature` (1; higher is wilder, 0 is greedy), `top_k`,
                `top_p`, `seed` (0), `unknown` (`refuse` or `allow`, for unknown tokens of the prompt).

        Raises:
            UsageError: a setting that makes no sense, a state of several texts.
            DataError: a prompt with tokens that the model has not learned; names them.
            ModelError, ShapeError: a state of another model.

        >>> model = LanguageModel(hidden_size=16, streams=4, window=10, epochs=20, learning_rate=0.02)
        >>> text = model.fit("do re mi fa " * 40).generate("do re", temperature=0, length=9)
        >>> "".join(text)
        ' mi fa do'
        >>> "".join(model.generate(state=text.state, temperature=0, length=6))
        ' re mi'
        """
        if "samples" in settings:
            raise UsageError(
                "`generate` writes one text, and `samples` was given.", fix="Call generate_samples(samples=…)."
            )
        return Generator(self.generate_samples(prompt, state=state, **settings))

    def generate_samples(self, prompt: str = "", *, state: State | None = None, **settings: Any) -> Samples:
        """Return an iterator over several texts, which gives the next piece of every text.

        Text i is the same however many there are, and text 0 is what `generate` writes.

        Args:
            prompt: what the texts begin with.
            state: state to continue from, of one text or of each sample.
            settings: by name, those of `GenerationSettings` and `SamplingSettings`; `samples` is the number of texts.

        Raises:
            UsageError, DataError, ModelError, ShapeError: as for `generate`.
        """
        self._require_fitted()
        checked = check_settings(GenerationSettings, settings)
        return Samples(self.model_.eval(), self.coder_, checked, prompt=prompt, state=state)

    def read(self, text: str, *, state: State | None = None, unknown: Literal["allow", "refuse"] = "refuse") -> State:
        """Return the state after a text, from which `generate` continues.

        Args:
            text: read token by token.
            state: state to continue from.
            unknown: `allow` tokens that the model has not learned, or `refuse` them with an error that names them.

        Raises:
            UsageError, DataError, ModelError, ShapeError: as for `generate`.
        """
        return self.generate_samples(text, state=state, unknown=unknown).state

    def _set_fitted(self, task: Task, network: Any) -> None:
        super()._set_fitted(task, network)
        self.coder_ = task.encoders["text"].coder
