"""What can be learned from sequences, one task a file; TASKS lists them."""

from importlib import import_module

from elman.errors import UsageError, nearest
from elman.tasks.task import Task

TASKS: dict[str, str | type[Task]] = {
    "classify": "elman.tasks.classify:Classify",
    "compare": "elman.tasks.compare:Compare",
    "regress": "elman.tasks.regress:Regress",
    "tag": "elman.tasks.tag:Tag",
    "language": "elman.tasks.language:Language",
    "translate": "elman.tasks.translate:Translate",
    "describe": "elman.tasks.describe:Describe",
    "forecast": "elman.tasks.forecast:Forecast",
}


def find_task(name: str) -> type[Task]:
    """Return the task of this name, whose file is imported when first needed.

    Raises:
        UsageError: there is no such task.
    """
    if name not in TASKS:
        raise UsageError(f"There is no task `{name}`.", fix=nearest(name, TASKS))
    found = TASKS[name]
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        found = getattr(import_module(module), attribute)
    return found
