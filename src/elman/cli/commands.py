"""How a command is made of a function: its usage line, its examples, and flags that are known only when it is used."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
# A type and a default for each parameter; `...` is the default of one that must be given.
Parameters = Mapping[str, tuple[Any, Any]]


class Command(TyperCommand):
    """A command whose usage line names its arguments as `MODEL [DATA]`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line, without typer's braces."""
        return [re.sub(r"^\{(.*)\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]


def add(app: typer.Typer, function: Callable[..., None], *lines: str) -> None:
    """Add a command to an app.

    Args:
        app: of typer.
        function: its parameters are the arguments and options, its docstring is the help.
        lines: examples, as they are typed.
    """
    app.command(cls=Command, epilog=examples(*lines))(function)


def add_lazily(
    app: typer.Typer, function: Callable[..., None], parameters: Callable[[], Parameters], *lines: str
) -> None:
    """Add a command whose flags are settings.

    Settings are imported when the command is used, and not for the list of commands.

    Args:
        app: of typer.
        function: is given the values by name.
        parameters: gives the arguments and options.
        lines: examples, as they are typed.
    """

    class Lazy(Command):
        """A command whose arguments and options are made when it is used."""

        def get_params(self, ctx: Any) -> list[Any]:
            """Return the arguments and options."""
            return built(function.__name__, function, parameters()).get_params(ctx)

        def invoke(self, ctx: Any) -> Any:
            """Run the command."""
            return ctx.invoke(built(function.__name__, function, parameters()).callback, **ctx.params)

    def shown() -> None:
        pass

    shown.__doc__ = function.__doc__
    app.command(function.__name__, cls=Lazy, epilog=examples(*lines))(shown)


def built(name: str, function: Callable[..., None], parameters: Parameters, *lines: str) -> Any:
    """Return a command that typer makes of a function that is given its values by name."""
    keyword, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(key, keyword, annotation=kind, default=empty if default is ... else default)
            for key, (kind, default) in parameters.items()
        ]
    )
    function.__annotations__ = {key: kind for key, (kind, _) in parameters.items()}
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=CONTEXT)
    app.command(name, cls=Command, epilog=examples(*lines) if lines else None)(function)
    return typer.main.get_command(app)


def examples(*lines: str) -> str:
    """Return the end of a command's help: examples, each line as it is typed."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def option(flag: str, metavar: str, line: str, kind: Any = str | None) -> Any:
    """Return the annotation of an option whose help has its default.

    Args:
        flag: as it is typed.
        metavar: how the help shows its value.
        line: of the help.
        kind: type of its value.
    """
    return Annotated[kind, typer.Option(flag, metavar=metavar or None, show_default=False, help=line)]
