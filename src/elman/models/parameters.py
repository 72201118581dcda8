"""Settings of a task by name, as attributes of a model."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from elman.compiler.cell import Cell, describe_options
from elman.errors import UsageError, nearest
from elman.settings import check_settings, describe_settings, fields_of
from elman.tasks.task import Task


class Parameters:
    """The settings of a task, each an attribute, with the methods that scikit-learn calls.

    A subclass that names its task has their signature and their descriptions.

    Args:
        settings: by name, those of the task; `cell` may also be a cell itself.

    Raises:
        UsageError: there is no such setting.
    """

    task: ClassVar[type[Task]]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a setting, each of which is an attribute."""

    def __init__(self, **settings: Any):
        self._check_names(settings)
        for name, default in self._defaults().items():
            setattr(self, name, settings.get(name, default))

    def __init_subclass__(cls) -> None:
        if not hasattr(cls, "task"):
            return
        # What help() and editors show; the settings themselves are the only list of them.
        cls.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
                for name, default in cls._defaults().items()
            ]
        )
        listed = describe_settings(cls.task.settings_class).replace("\n", "\n    ")
        cls.__doc__ = f"{(cls.__doc__ or cls.task.summary_line()).rstrip()}\n\n    {listed}\n    "

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return every setting by its name."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **settings: Any) -> Self:
        """Change settings, which take effect when the model is fitted again."""
        self._check_names(settings)
        for name, value in settings.items():
            setattr(self, name, value)
        return self

    def settings(self) -> Any:
        """Return the settings, checked.

        Raises:
            UsageError: names every setting that is wrong.
        """
        values = self.get_params()
        if isinstance(values["cell"], Cell):
            values["cell_options"] = {**describe_options(values["cell"]), **values["cell_options"]}
            values["cell"] = values["cell"].name
        return check_settings(self.task.settings_class, values)

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, value in self._defaults().items()
            if getattr(self, name) != value
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        fields = fields_of(cls.task.settings_class)
        return {name: field.get_default(call_default_factory=True) for name, field in fields.items()}

    @classmethod
    def _check_names(cls, settings: Mapping[str, Any]) -> None:
        unknown = [name for name in settings if name not in cls.task.settings_class.model_fields]
        if unknown:
            raise UsageError(
                f"A {cls.task.noun} has no setting {', '.join(f'`{name}`' for name in unknown)}.",
                fix=nearest(unknown[0], cls.task.settings_class.model_fields),
            )
