"""Options that several commands share, each said in one way."""

from pathlib import Path
from typing import Annotated, Any

import typer

from elman.errors import UsageError

AsJson = Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", show_default=False, help="A model folder, as --out made it.")]
Out = Annotated[
    Path, typer.Option("--out", metavar="MODEL", show_default=False, help="Folder for the model and its report.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the interrupted run in MODEL.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start over in a folder that holds a run of elman.")]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", min=0, metavar="N", show_default=False, help="The same seed gives the same random numbers. [0]"
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", show_default=False, help="Threads to compute with. [all cores]"),
]


def _known_way(how: str | None) -> str | None:
    if how not in (None, "allow", "refuse"):
        raise typer.BadParameter("give allow or refuse")
    return how


def _unknown(default: str) -> Any:
    return typer.Option(
        "--unknown",
        metavar="HOW",
        parser=str,
        callback=_known_way,
        show_default=False,
        help=f"Characters or words never seen in training: allow or refuse. [{default}]",
    )


Unknown = Annotated[Any, _unknown("as the model was trained: allow")]


VALIDATION_FRACTION = 0.1


def held_back(validation: object, fraction: float | None) -> float:
    """The part of the data to hold back for judging; 0 where --validation gives other data for it.

    Raises:
        UsageError: both are given.
    """
    if validation is not None and fraction is not None:
        raise UsageError("--validation and --validation-fraction exclude each other.", fix="Give one of the two.")
    if fraction is None:
        return VALIDATION_FRACTION if validation is None else 0.0
    return fraction


def use_threads(count: int | None) -> None:
    """Lets torch compute with so many threads; `None` leaves its own choice."""
    if count is not None:
        # torch takes seconds to import; only commands that compute get here.
        import torch

        torch.set_num_threads(count)


def examples(*lines: str) -> str:
    """The end of a command's help: what to type, each line as it is."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
