"""`elman train`: a command for each task."""

from typing import Any

import typer
from typer.core import TyperGroup

from elman.cli import train_classify, train_language
from elman.errors import UsageError, nearest


class _Tasks(TyperGroup):
    """Sub-commands that are called tasks."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of the task, or an error that names the tasks there are."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UsageError(f"There is no task `{args[0]}`.", fix=nearest(args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words of the command line, of which there must be one."""
        if all(word.startswith("-") for word in args) and not set(args) & set(ctx.help_option_names):
            ctx.fail("Missing argument 'TASK'.")
        return super().parse_args(ctx, args)


tasks = typer.Typer(
    cls=_Tasks,
    help="Train a model, save it and report; see each task's own --help.",
    rich_markup_mode=None,
    subcommand_metavar="TASK ...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for module in (train_classify, train_language):
    module.register(tasks)


def register(app: typer.Typer) -> None:
    """Adds the command to the app."""
    app.add_typer(tasks, name="train")
