"""Commands whose flags are settings: these are imported when the command is used, and not for the list of commands."""

from collections.abc import Callable
from typing import Any

from typer.core import TyperCommand


def lazy(build: Callable[[], Any]) -> type[TyperCommand]:
    """Return the class of a command that another one stands for, which is built when it is used.

    Args:
        build: gives that command.
    """

    class Lazy(TyperCommand):
        """A command that is built when it is used."""

        def get_params(self, ctx: Any) -> list[Any]:
            """Return the arguments and options."""
            return build().get_params(ctx)

        def invoke(self, ctx: Any) -> Any:
            """Run the command."""
            return ctx.invoke(build().callback, **ctx.params)

    return Lazy
