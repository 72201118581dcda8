"""What every estimator has: settings by name, a network built from them, and a folder to be loaded from."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from elman.card import write_card
from elman.cells.archive import cell_to_json
from elman.cells.from_file import open_cell
from elman.compiler.cell import Cell, describe_options
from elman.errors import MissingPackageError, ModelError, NotFittedError, UsageError, nearest
from elman.nn.recurrent import Recurrent
from elman.saved import SavedModel, read_model, write_model
from elman.settings import Settings, check_settings
from elman.training.record import History
from elman.training.trainer import refuse_unfinished


class Kept(NamedTuple):
    """What a kind of model writes into its folder.

    Attributes:
        summary: what it does, a sentence for the card.
        vocabulary: as JSON.
        config: fields of its own.
        use: commands for the card, if not those of every model.
    """

    summary: str
    vocabulary: dict[str, Any]
    config: dict[str, Any]
    use: tuple[str, ...] = ()


class Estimator(ABC):
    """A model made of settings by name, which are checked when it is fitted, all at once.

    A subclass says what its settings are (`settings_class`), for which task it is (`task`), how it is called
    (`noun`, as in "a classifier") and how one fits it (`fitted_by`).

    Args:
        settings: by name, those of `settings_class`; `cell` may also be a cell itself.

    Attributes:
        history_: what training recorded, epoch by epoch.
        model_: the network.

    Raises:
        UsageError: a setting that does not exist.
    """

    settings_class: ClassVar[type[Settings]]
    task: ClassVar[str]
    noun: ClassVar[str]
    fitted_by: ClassVar[str]

    history_: History
    model_: Any
    _settings: Any

    def __init__(self, **settings: Any):
        self._check_names(settings)
        for name, default in self._defaults().items():
            setattr(self, name, settings.get(name, default))

    def __init_subclass__(cls) -> None:
        # What help() and editors show; the settings themselves are the only list of them.
        cls.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
                for name, default in cls._defaults().items()
            ]
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Every setting by its name."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **settings: Any) -> Self:
        """Change settings; a fitted model keeps what it has learned until it is fitted again."""
        self._check_names(settings)
        for name, value in settings.items():
            setattr(self, name, value)
        return self

    def settings(self) -> Any:
        """The settings, checked.

        Raises:
            UsageError: names every setting that is wrong.
        """
        values = self.get_params()
        if isinstance(values["cell"], Cell):
            values["cell_options"] = {**describe_options(values["cell"]), **values["cell_options"]}
            values["cell"] = values["cell"].name
        return check_settings(self.settings_class, values)

    def save(
        self,
        folder: str | Path,
        *,
        data: Mapping[str, Any] | None = None,
        scores: Mapping[str, float] | None = None,
        command: str | None = None,
        use: Sequence[str] = (),
    ) -> None:
        """Write the model folder: configuration, weights, vocabulary and a card; no code and no pickle.

        Args:
            folder: made if it is not there.
            data: what it was trained and judged on, for the card.
            scores: for the card.
            command: the command that repeats the run, for the card.
            use: commands that use the model, for the card; those with its name and other files if not given.

        Raises:
            NotFittedError: there is nothing to save.
            UsageError: the folder holds an unfinished run, or files of others that have these names.
            ModelError: the folder cannot be written; what was there stays.
        """
        self._require_fitted()
        refuse_unfinished(Path(folder))
        kept = self._kept()
        card = write_card(
            name=Path(folder).name,
            summary=kept.summary,
            data=data or {},
            scores=scores or {},
            settings=self._settings.model_dump(),
            command=command,
            **({"use": use or kept.use} if use or kept.use else {}),
        )
        config = {
            "task": self.task,
            "settings": self._settings.model_dump(mode="json"),
            **kept.config,
            "cell": archive_cell(self.model_.body),
            "history": self.history_.to_json(),
        }
        tensors = self.model_.state_dict()
        write_model(folder, config=config, tensors=tensors, vocabulary=kept.vocabulary, card=card)

    @abstractmethod
    def _kept(self) -> Kept:
        """What a fitted model of this kind writes into its folder, besides what all write."""

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The model that `save` wrote, ready for use.

        Raises:
            ModelError: the folder is missing, damaged, from a later version, or of another task; says which.
            MissingPackageError: it needs a package that is not installed.
        """
        return cls.from_saved(read_model(folder), folder)

    @classmethod
    def from_saved(cls, saved: SavedModel, folder: str | Path) -> Self:
        """The model of a folder that was read already; errors as for `load`."""
        if saved.config["task"] != cls.task:
            raise ModelError(
                f"This model is for the task `{saved.config['task']}`.", where=str(folder), fix=f"Give a {cls.noun}."
            )
        try:
            return cls._restore(saved)
        except MissingPackageError as error:
            # A matter of this machine and not of the folder.
            raise MissingPackageError(error.problem, where=str(folder), fix=error.fix) from None
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reasons = [error.problem, error.where or ""] if isinstance(error, UsageError) else str(error).splitlines()
            reason = "\n".join(line.strip() for line in reasons[:2])
            raise ModelError(
                "The model folder's files do not belong together.",
                where=f"{folder}: {type(error).__name__}: {reason}",
                fix="Copy the whole folder again from where it was made, or train the model again.",
            ) from error

    @classmethod
    @abstractmethod
    def _restore(cls, saved: SavedModel) -> Self:
        """The fitted model of what a folder holds."""

    def _own_cell(self, options: Mapping[str, Any]) -> Cell:
        """The cell that the settings mean, which may be the user's own."""
        cell = open_cell(self.get_params()["cell"])
        # What the cell has already stays as it is: its description is for the configuration file.
        described = describe_options(cell)
        return cell.with_options(**{name: value for name, value in options.items() if described.get(name) != value})

    def _require_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise NotFittedError(
                f"This {self.noun} has not learned anything yet.",
                fix=f"Call {self.fitted_by} first, or load a saved model with {type(self).__name__}.load(folder).",
            )

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, value in self._defaults().items()
            if getattr(self, name) != value
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        fields = cls.settings_class.model_fields
        return {name: field.get_default(call_default_factory=True) for name, field in fields.items()}

    @classmethod
    def _check_names(cls, settings: Mapping[str, Any]) -> None:
        unknown = [name for name in settings if name not in cls.settings_class.model_fields]
        if unknown:
            raise UsageError(
                f"A {cls.noun} has no setting {', '.join(f'`{name}`' for name in unknown)}.",
                fix=nearest(unknown[0], cls.settings_class.model_fields),
            )


def archive_cell(body: Recurrent | None) -> dict[str, Any] | None:
    """The cell of a network's body as plain data, with its equations for each layer; `None` without a body."""
    return None if body is None else cell_to_json(body.cell, body.cell_sizes)
