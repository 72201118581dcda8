"""Recipes of language models: a text learned in streams, and judged on its held-out part."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elman.cells.from_file import open_cell
from elman.errors import DataError
from elman.estimators import LanguageModel
from elman.sequences.corpus import Corpus
from elman.sequences.datasets import is_there
from elman.sequences.texts import Texts, open_text
from elman.training.listener import Listener


@dataclass(frozen=True)
class LanguageRecipe:
    """A language model trained and judged as an experiment was.

    Args:
        name: as the command line knows it.
        summary: what is trained, a phrase.
        data: the data sets that it reads, the first of them that is there.
        settings: of the language model.
        reported: what the source reports, by the names of the result.
        source: where that is reported.
        own_cell: the cell in a file beside this one, in place of a built-in one: `file.py:name`.
        whole_alphabet: the model knows the characters of all parts of the text, not only of the first.
    """

    name: str
    summary: str
    data: tuple[str, ...]
    settings: Mapping[str, Any]
    reported: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    own_cell: str | None = None
    whole_alphabet: bool = False

    def open(self, data: Path) -> tuple[str, Texts]:
        """The data set that is there, by its name, and its texts.

        Raises:
            DataError: none of them is there, or the first that is there is not whole.
        """
        for name in self.data:
            if is_there(name, data):
                return name, open_text(name, data)
        try:
            return self.data[0], open_text(self.data[0], data)
        except DataError as missing:
            others = " or ".join(self.data[1:])
            raise DataError(
                missing.problem,
                where=missing.where,
                fix=f"{missing.fix} {others} will do, too." if others else missing.fix,
            ) from None

    def model(
        self,
        texts: Texts,
        *,
        seed: int | None = None,
        epochs: int | None = None,
        estimator: type[LanguageModel] = LanguageModel,
    ) -> LanguageModel:
        """The model before it has learned anything; see `run`."""
        settings: dict[str, Any] = {**self.settings, "seed": seed or 0}
        if epochs is not None:
            settings["epochs"] = epochs
        if self.whole_alphabet:
            settings["alphabet"] = alphabet_of(texts)
        if self.own_cell is not None:
            settings["cell"] = open_cell(str(Path(__file__).parent / self.own_cell))
        return estimator(**settings)

    def run(
        self,
        data: Path,
        *,
        seed: int | None = None,
        epochs: int | None = None,
        folder: Path | None = None,
        resume: bool = False,
        listener: Listener | None = None,
        estimator: type[LanguageModel] = LanguageModel,
    ) -> dict[str, Any]:
        """Train on the first part of the text, judge on the last.

        The validation part tells the best epoch; the test part, where there is one, chooses nothing.

        Args:
            data: the folder that holds the data sets.
            seed: of the run; 0 if not given.
            epochs: in place of the recipe's own.
            folder: where checkpoints and the model go.
            resume: continue the run that was stopped in that folder.
            listener: told how training goes.
            estimator: another kind of language model, to compare with.

        Returns:
            The measured scores, the reported ones, and the seconds that training took in all its parts.
        """
        found, texts = self.open(data)
        model = self.model(texts, seed=seed, epochs=epochs, estimator=estimator)
        model.fit(texts.train, texts.validation, folder=folder, resume=resume, listener=listener)
        part = "validation" if texts.test is None else "test"
        scores = model.evaluate(texts.validation if texts.test is None else texts.test)
        if folder is not None:
            model.save(folder, data={"trained on": found, "judged on": f"its {part} part"}, scores=scores)
        return {
            "recipe": self.name,
            "data": found,
            "part": part,
            "parameters": sum(parameter.numel() for parameter in model.model_.parameters()),
            "alphabet" if model.settings().tokens == "characters" else "vocabulary": len(model.coder_.vocabulary),
            **scores,
            "training_losses": [round(epoch.loss, 4) for epoch in model.history_.epochs],
            "reported": dict(self.reported),
            "source": self.source,
            "seed": seed or 0,
            "seconds": round(model.history_.seconds, 1),
        }


def alphabet_of(texts: Texts) -> str:
    """The different characters of all parts of a text: those of the first, the most frequent first, then others."""
    counts: Counter[str] = Counter()
    for piece in texts.train.pieces():
        counts.update(piece)
    held: list[Corpus] = [text for text in texts[1:] if text is not None]
    others = set().union(*(set(piece) for part in held for piece in part.pieces())) - counts.keys()
    return "".join([*sorted(counts, key=lambda character: (-counts[character], character)), *sorted(others)])
