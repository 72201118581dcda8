"""The task of writing a text for each text: translation, and other sequences from sequences."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from elman.report.parts import Part
from elman.settings.base import Conflict
from elman.settings.decoding import DecodingOptions
from elman.settings.network import Share
from elman.settings.text import VocabularySettings
from elman.settings.training import Schedule, TrainingSettings
from elman.settings.translation import DecoderSettings, ForcingSettings, LengthSettings
from elman.tasks.parallel_rows import Parallel
from elman.tasks.task import Answer, Batch, Column, Data, Found, Metric, Read, Task, Values
from elman.tasks.translate_texts import MARKS, MarkedText, TargetText

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from elman.compiler.cell import Cell
    from elman.nn.state import State
    from elman.tasks.baselines import Baseline

TokensName = Literal["auto", "characters", "words", "subwords"]
METRICS = (
    Metric("loss", note="Mean cross entropy, nats per token, where the true tokens before it are read."),
    Metric("bleu", True, title="BLEU", note="Of whole texts, as they are.", decimals=1),
    Metric("bleu_lower", True, title="BLEU, lower case", note="Tokenised, in lower case.", decimals=1),
    Metric("chrf", True, title="chrF", note="F-score of character n-grams.", decimals=1),
    Metric("exact", True, True, "Of the answers, those that equal their reference.", "exact answers"),
    Metric("token_error_rate", False, True, "Edits of words, per word of the references.", "token error rate"),
    Metric("loss_free_running", note="The same, where the model reads its own tokens.", title="free-running loss"),
    Metric("count", compares=False, title="pairs"),
)


class WriterSettings(VocabularySettings, DecoderSettings, ForcingSettings, LengthSettings, TrainingSettings):
    """Settings of networks that write a text for any input."""

    lower_case: bool = Field(False, description="Convert texts to lower case, those that are written too.")
    split: Literal["punctuation", "blanks", "strip"] = Field(
        "punctuation",
        description="Where words end. punctuation: at blanks and punctuation marks, each mark a token; blanks: only at "
        "blanks; strip: at blanks, after the marks of ASCII were removed, as Keras's TextVectorization does.",
    )
    hidden_size: PositiveInt = Field(256, description="Units of each recurrent layer and direction.")
    input_dropout: Share = Field(0.3, description="Fraction of the features to drop before the recurrent layers.")
    output_dropout: Share = Field(0.3, description="Fraction of the features of the recurrent outputs to drop.")
    label_smoothing: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Fraction of each target spread over all tokens. C. Szegedy et al., Rethinking the Inception "
        "Architecture, 2016, section 7.",
    )
    epochs: PositiveInt = Field(20, description="Passes over the data.")
    learning_rate: float = Field(2e-3, gt=0, description="Learning rate of the optimizer.")
    schedule: Schedule = Field(
        "linear", description="How the learning rate changes. `elman.training.schedules` has the formulas."
    )
    clip_norm: float | None = Field(1.0, gt=0, description="Largest norm of the gradient, which is scaled down to it.")
    batch_size: PositiveInt | None = Field(64, description="Sequences in a minibatch.")


class TranslatorSettings(WriterSettings):
    """Every setting of a translator: how texts are read, the network's layers, the training."""

    tokens: TokensName = Field(
        "auto",
        description="What a step is. auto: subwords if most texts of both sides have several words, else characters. "
        "subwords are learned from the training texts by sentencepiece.",
    )
    target_tokens: Literal["characters", "words", "subwords"] | None = Field(
        None, description="What a step of the targets is, if not joint. By default as `tokens`."
    )

    def _conflicts(self) -> "Iterator[Conflict]":
        if self.target_tokens not in (None, self.tokens) and self.joint:
            yield Conflict(
                ("joint", "target_tokens"), "one vocabulary has tokens of one kind: give joint=False (--no-joint)."
            )


class Writing(Task):
    """A task whose answer is a text."""

    has_probabilities = False
    starts_whole = True
    options_class = DecodingOptions
    answer_options_class = DecodingOptions
    baseline_names = ("nearest",)
    metrics = METRICS

    @property
    def metric(self) -> Metric:
        """The metric by which epochs are compared.

        Raises:
            UsageError: the settings name a score that the task does not have.
            MissingPackageError: it needs sacrebleu, which is not installed.
        """
        from elman.tasks.translate_scores import BY_SACREBLEU, require_sacrebleu

        if self.settings.metric in BY_SACREBLEU:
            require_sacrebleu()
        return super().metric

    def measured(self, encoded: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
        """Return the rows that are not too long, and learn how long their targets are.

        Args:
            encoded: columns of the training set by name.
            notes: of an encoder; those left out are noted there.
        """
        # These import torch.
        from elman.tasks.translate_choices import short_enough
        from elman.tasks.writing import lengths_of

        found = short_enough(self.settings, encoded, notes)
        sources = [max(0, length - MARKS) for length in lengths_of(found[self.columns[0].name])]
        self.encoders["target"].measure(sources, (found["target"].lengths - 1).tolist())
        return found

    def adapting(self, network: Any, options: Any) -> tuple[Any, None]:
        """Return the network with the options of its search."""
        from elman.tasks.writing import with_options

        return with_options(network, options), None

    def check(self, batch: Batch, read: Read) -> None:
        """Refuse outputs that are not finite, where the search has not done so."""
        if read.targets:
            super().check(batch, read)

    def report(self, found: Found) -> list[Part]:
        """Return the scores, what they were measured with, and the worst texts."""
        from elman.tasks.writing_report import parts_of_report

        return parts_of_report(self, found)


class Translate(Writing):
    """A text for each text: cross entropy of each token, given the source and the tokens before it.

    The metric that compares epochs is the cross entropy, unless the setting `metric` names another, such as `bleu`.
    """

    name = "translate"
    summary = "a text for each text, such as its translation"
    noun = "translator"
    settings_class = TranslatorSettings
    columns = (
        Column("source", MarkedText, help="Column of the sources. [by usual names]"),
        Column("target", TargetText, "target", "Column of the targets. [by usual names]"),
    )
    source = Parallel()
    use = ("elman predict {model} --text {text}", "elman evaluate {model} {data}")
    examples = (
        "elman train translate train.en train.de --validation val.en --validation val.de --out en-de",
        "elman train translate pairs.tsv --source en --target de --out en-de",
        "elman train translate dates.tsv --tokens characters --out dates",
    )

    def __init__(self, settings: Any, encoders: Mapping[str, Any] | None = None):
        super().__init__(settings, encoders)
        if self._is_joint:
            self.encoders["target"].share(self.encoders["source"])

    @property
    def _is_joint(self) -> bool:
        return self.settings.joint

    @classmethod
    def resolve(cls, settings: Any, values: Values, *, validated: bool) -> tuple[Any, Sequence[str]]:
        """Decide what a step is."""
        from elman.tasks.translate_choices import resolve_translator

        return resolve_translator(settings, values, validated=validated)

    @classmethod
    def baselines(cls) -> "Sequence[Baseline]":
        """Return the text of the nearest training row."""
        # Imported late: numpy is needed only for training.
        from elman.tasks.writing_baselines import NearestText

        return (NearestText("source"),)

    def learn(self, values: Mapping[str, Any], folder: "Path | None" = None) -> dict[str, Any]:
        """Learn the vocabularies, and return the pairs that are not too long."""
        source, target = self.encoders["source"], self.encoders["target"]
        if not self._is_joint:
            found = super().learn(values, folder)
        else:
            from elman.tasks.pair_texts import learn_together
            from elman.tasks.translate_texts import Targets

            read, written = learn_together(source, [values["source"], values["target"]], folder)
            target.share(source)
            target.count(written)
            found = {"source": read, "target": Targets(written, list(values["target"]))}
        return self.measured(found, source.notes)

    def network(self, cell: "Cell | None") -> Any:
        """Build the network: encoder, bridge, attention, decoder."""
        # This imports torch.
        from elman.tasks.writing import build_network

        return build_network(self.settings, self.encoders["target"], cell, source=self.encoders["source"].sizes())

    def read(self, network: Any, batch: Batch, state: "State | None" = None) -> Read:
        """Read a batch: the true tokens, or the network's own, as the settings say."""
        from elman.tasks.writing import read_written

        target = batch["target"]
        return read_written(network, batch["source"], target, self.settings, self.encoders["target"])

    def scores(self, data: Data) -> Any:
        """Return the scores of `WritingScores`."""
        from elman.tasks.writing import WritingScores

        return WritingScores(self.encoders["target"], self.encoders["source"])

    def answers(self, network: Any, batch: Batch) -> list[Answer]:
        """Return the best text for each source, and the next best where several are wanted."""
        from elman.tasks.writing import answers_of

        return answers_of(network, batch["source"], self.encoders["target"])

    def facts(self) -> dict[str, Any]:
        """Return what a step is, and the sizes of the vocabularies."""
        sizes = {name: len(encoder.vocabulary) for name, encoder in self.encoders.items()}
        return {"step": self.settings.tokens.removesuffix("s"), "vocabulary": sizes}
