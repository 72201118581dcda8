"""The language model: learns a text, and says how well it tells another one."""

import copy
import math
import reprlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from elman.cells.archive import cell_from_json
from elman.compiler.cell import Cell
from elman.errors import DataError, UsageError
from elman.estimators.base import Estimator, Kept, archive_cell
from elman.folders import alone_in
from elman.generation.generator import GenerationSettings, Generator, Samples, write_text
from elman.language_network import LanguageNetwork, LanguageNetworkSettings
from elman.nn.state import State
from elman.saved import SavedModel
from elman.sequences.coders import Coder, CoderSettings, coder_from_json
from elman.sequences.corpus import Corpus, Text, open_corpus
from elman.sequences.streams import TokenStreams, streams_to_judge
from elman.sequences.token_text import TokenText, encode_tokens, learn_tokens, remove_kept
from elman.settings import Settings, check_settings
from elman.tasks.language import Language
from elman.training.generators import own_generators
from elman.training.listener import Listener
from elman.training.record import History
from elman.training.settings import RunSettings
from elman.training.trainer import Trainer, check_run

LONGEST_NAME = 256
USE = ("elman generate {name} --length 500", "elman evaluate {name} TEXT.txt")


class LanguageSettings(CoderSettings, LanguageNetworkSettings, RunSettings):
    """Every setting of a language model: how text becomes tokens, the network's layers, the training, and these.

    Args:
        streams: parts of the text that are read side by side: the batch size.
        window: steps of each stream in a minibatch: how far gradients go back. The state is carried on from each to the
            next, throughout an epoch.
        validation_fraction: the part of the text, its end, that is held out to judge the epochs when no validation text
            is given.
        show_sample: tokens of a text that the model writes after each epoch, and when the validation set is judged
            within one; 0 for none.
    """

    epochs: PositiveInt = 10
    learning_rate: float = Field(2e-3, gt=0)
    clip_norm: float | None = Field(1.0, gt=0)
    streams: PositiveInt = 32
    window: PositiveInt = 100
    validation_fraction: float = Field(0.0, ge=0, lt=1)
    show_sample: NonNegativeInt = 0


class JudgeSettings(Settings):
    """How a text is judged.

    Args:
        dynamic: the rate of dynamic evaluation; none if not given.
        streams: parts of the text read side by side.
        window: steps of each.
    """

    dynamic: float | None = Field(None, ge=0)
    streams: PositiveInt | None = None
    window: PositiveInt | None = None


class LanguageModel(Estimator):
    """A model of a text, token by token: characters, bytes, words or subwords.

    Args:
        settings: by name, those of `LanguageSettings`, `CoderSettings`, `LanguageNetworkSettings` and `RunSettings`;
            `cell` may also be a cell itself. They are checked when the model is fitted, all at once.

    Attributes:
        coder_: from text to token ids and back; `coder_.vocabulary` has the tokens.
        history_: what training recorded, epoch by epoch.
        model_: the network.

    Raises:
        UsageError: a setting that does not exist.

    >>> model = LanguageModel(hidden_size=16, streams=4, window=10, epochs=20, learning_rate=0.02)
    >>> model.fit("to be or not to be. " * 20).evaluate("to be or not to be. " * 3)["perplexity"] < 2
    True
    """

    settings_class = LanguageSettings
    task = Language.name
    noun = "language model"
    fitted_by = "fit(text)"

    coder_: Coder

    def fit(
        self,
        text: Text,
        validation: Text | None = None,
        *,
        folder: str | Path | None = None,
        resume: bool = False,
        listener: Listener | None = None,
    ) -> Self:
        """Learn a text of any length; memory does not grow with it.

        Fits in several threads of a process take turns, see `elman.training.Trainer.run`.

        Args:
            text: the text itself; or a `Path` (unpacked if its name ends in .gz, .xz or .bz2), or an iterable of parts.
            validation: the same, by which epochs are compared.
            folder: where checkpoints, the log and, while it is needed, the text's tokens go; without it, tokens go to a
                temporary file, and nothing else is written.
            resume: continue the run that was stopped in that folder.
            listener: told how it goes; `elman.training.progress.progress_for(sys.stderr)` prints it.

        Raises:
            UsageError: settings that make no sense, or another run writes into the folder.
            DataError: a text that is empty, too short, no UTF-8, or has one kind of token only.
            ModelError: the folder's run was made with another text or other settings.
            TrainingError: the loss is no longer a number, or the disk is full.
            TrainingInterrupted: Ctrl-C; the run is saved in the folder and can be resumed.
        """
        settings: LanguageSettings = self.settings()
        place = None if folder is None else Path(folder)
        corpus, held = _corpora(text, validation, settings.validation_fraction)
        with alone_in(place):
            # What is wrong without any text is told before a long one is read.
            self._own_cell(settings.cell_options)
            check_run(settings, validated=held is not None, folder=place, resume=resume)
            coder, tokens = learn_tokens(corpus, _coder_settings(settings), place)
            train = TokenStreams(tokens, streams=settings.streams, window=settings.window)
            counts = tokens.frequencies(len(coder.vocabulary))
            _check_kinds(counts, coder, tokens.name)
            network = self._new_network(settings, coder, counts)
            task = Language(tokens.counts, unit=settings.tokens)
            trainer = Trainer(
                network,
                task,
                train,
                None if held is None else _judged(encode_tokens(held, coder, place), settings),
                settings,
                folder=place,
                identity={"cell": archive_cell(network.body)},
                listener=listener,
                sample=(lambda network: write_text(network, coder, settings.show_sample, settings.seed))
                if settings.show_sample
                else None,
            )
            self.history_ = trainer.run(resume=resume)
            if place is not None:
                remove_kept(place)
        self._settings, self.coder_ = settings, coder
        self.model_ = network.eval()
        return self

    def evaluate(
        self,
        text: Text,
        *,
        dynamic: float | None = None,
        streams: int | None = None,
        window: int | None = None,
        unknown: Literal["allow", "refuse"] | None = None,
    ) -> dict[str, Any]:
        """How well the model tells a text.

        Args:
            text: as for `fit`.
            dynamic: the rate of dynamic evaluation: after each window the weights of a copy of the model go a step
                down the gradient of the window's loss, so that it learns the text it reads; the model itself does not
                change.
            streams: parts of the text read side by side, each from a state of zeros: 1 is exact and slow. By default
                as many as in training, but of 4,096 tokens at least; 1 for dynamic evaluation.
            window: steps of each; it matters for dynamic evaluation only, where it is that of training by default.
            unknown: what becomes of tokens that the model does not know, for this call: `allow` reads them as unknown,
                `refuse` is an error that names them.

        Returns:
            `loss` (nats a token), `bits_per_character`, `bits_per_byte`, `perplexity`, `tokens` (all of the text but
            the first, which nothing stands before), `unknown` (of those, what the vocabulary does not have).

        Raises:
            UsageError: arguments that make no sense.
            DataError: a text that cannot be read, or has less than two tokens or than a window for each stream.

        Source:
            T. Mikolov et al., Recurrent neural network based language model, 2010, section 2 (dynamic models);
            B. Krause et al., Dynamic Evaluation of Neural Sequence Models, 2018. Difference: plain gradient
            steps, neither scaled by the training text's gradients nor drawn back to the trained weights.
        """
        self._require_fitted()
        given = check_settings(JudgeSettings, {"dynamic": dynamic, "streams": streams, "window": window})
        tokens = encode_tokens(_open(text), self.coder_, unknown=unknown or self._settings.unknown)
        task = Language(tokens.counts, unit=self._settings.tokens)
        if given.streams is None and given.dynamic is None:
            cut = _judged(tokens, self._settings)
        else:
            parts = given.streams or 1
            longest = max(1, (len(tokens) - 1) // parts)
            cut = TokenStreams(tokens, streams=parts, window=min(given.window or self._settings.window, longest))
        if given.dynamic is not None:
            model, rate = copy.deepcopy(self.model_).eval(), given.dynamic
            return _finite(task.judge(model, cut, adapt=lambda loss: _descend(model, loss, rate)), tokens.name)
        with torch.inference_mode():
            return _finite(task.judge(self.model_.eval(), cut), tokens.name)

    def generate(self, prompt: str = "", *, state: State | None = None, **settings: Any) -> Generator:
        """A text that the model writes: iterate for its pieces, token by token, each as soon as it is written.

        Args:
            prompt: what the text begins with; it is read, not given back. Without a prompt the first token is drawn
                from the network's scores before it has read anything.
            state: where to go on from: what `state` of a generator, or `read`, gave.
            settings: by name, those of `GenerationSettings` and `SamplingSettings` but `samples`: `length` (tokens; for
                as long as one asks without it), `stop`, `temperature` (1; higher is wilder, 0 is greedy), `top_k`,
                `top_p`, `seed` (0), `unknown` (`refuse` or `allow`, for what the model does not know of the prompt).

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
        """Several texts that the model writes side by side: each turn gives the next piece of every text.

        Text i is the same however many there are, and text 0 is what `generate` writes.

        Args:
            prompt: what the texts begin with.
            state: where to go on from, of one text or of as many as there are samples.
            settings: by name, those of `GenerationSettings` and `SamplingSettings`; `samples` is the number of texts.

        Raises:
            UsageError, DataError, ModelError, ShapeError: as for `generate`.
        """
        self._require_fitted()
        checked = check_settings(GenerationSettings, settings)
        return Samples(self.model_.eval(), self.coder_, checked, prompt=prompt, state=state)

    def read(self, text: str, *, state: State | None = None, unknown: Literal["allow", "refuse"] = "refuse") -> State:
        """The state after a text, from which `generate` goes on.

        Args:
            text: read token by token.
            state: where to go on from.
            unknown: what becomes of tokens that the model has not learned: `refuse` names them.

        Raises:
            UsageError, DataError, ModelError, ShapeError: as for `generate`.
        """
        return self.generate_samples(text, state=state, unknown=unknown).state

    def _new_network(self, settings: LanguageSettings, coder: Coder, counts: np.ndarray) -> LanguageNetwork:
        with own_generators([], settings.seed):
            cell = self._own_cell(settings.cell_options)
            return LanguageNetwork(settings, len(coder.vocabulary), counts=torch.from_numpy(counts), cell=cell)

    def _kept(self) -> Kept:
        summary = f"Tells the next of {len(self.coder_.vocabulary):,} {self._settings.tokens} of a text."
        return Kept(summary, self.coder_.to_json(), {}, USE)

    @classmethod
    def _restore(cls, saved: SavedModel) -> Self:
        settings = check_settings(LanguageSettings, saved.config["settings"])
        model = cls(**settings.model_dump())
        coder = coder_from_json(saved.vocabulary)
        cell: Cell = cell_from_json(saved.config["cell"])
        network = LanguageNetwork(settings, len(coder.vocabulary), cell=cell)
        network.load_state_dict(dict(saved.tensors))
        model._settings, model.coder_ = settings, coder
        model.model_ = network.eval()
        model.history_ = History.from_json(saved.config["history"])
        return model


def _finite(scores: dict[str, float], name: str) -> dict[str, float]:
    if not math.isfinite(scores["loss"]):
        raise DataError(
            f"The network's output is not finite: its loss is {scores['loss']}.",
            where=name,
            fix="The weights are damaged, or the rate of dynamic evaluation is too high: lower it, or train again.",
        )
    return scores


def _corpora(text: Text, validation: Text | None, fraction: float) -> tuple[Corpus, Corpus | None]:
    if validation is not None and fraction:
        raise UsageError(
            "A validation text and validation_fraction exclude each other.", fix="Give one of the two, or neither."
        )
    corpus = _open(text)
    if fraction:
        learned, held = corpus.split(1 - fraction, fraction)
        return learned, replace(held, name=f"{corpus.name} (its held-out end)")
    return corpus, None if validation is None else _open(validation, name="the validation text")


def _open(text: Text, *, name: str = "the text") -> Corpus:
    if isinstance(text, str) and _is_file(text):
        raise UsageError(
            f"{name[0].upper()}{name[1:]} is {text!r}, which is the name of a file.",
            fix=f"To read what the file holds, give Path({text!r}).",
        )
    return open_corpus(text, name=name)


def _is_file(name: str) -> bool:
    # A text with a NUL is refused by Python, and one of too many bytes for a name by the operating system.
    with suppress(OSError, ValueError):
        return len(name) < LONGEST_NAME and Path(name).is_file()
    return False


def _check_kinds(counts: np.ndarray, coder: Coder, name: str) -> None:
    """Refuses a text that a given alphabet, or a limit on the vocabulary, leaves one kind of token of."""
    kinds = np.flatnonzero(counts)
    if len(kinds) < 2:
        unknown = coder.vocabulary.specials.get("unknown") in kinds
        kind = "unknown ones" if unknown else reprlib.repr(coder.vocabulary.decode(kinds)[0])
        raise DataError(
            f"Of the vocabulary's {len(coder.vocabulary):,} tokens, the text has one only, {kind}: there is nothing to "
            "predict.",
            where=name,
            fix="Give a text of these tokens, or another alphabet (--alphabet).",
        )


def _coder_settings(settings: LanguageSettings) -> CoderSettings:
    return CoderSettings(**settings.model_dump(include=set(CoderSettings.model_fields)))


def _judged(tokens: TokenText, settings: LanguageSettings) -> TokenStreams:
    return streams_to_judge(tokens, streams=settings.streams, window=settings.window)


def _descend(model: nn.Module, loss: Tensor, rate: float) -> None:
    """One step of plain gradient descent."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.no_grad():
        for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
            if slope is not None:
                parameter.sub_(slope, alpha=rate)
