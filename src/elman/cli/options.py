"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")]
Model = Annotated[
    Path, typer.Argument(metavar="MODEL", show_default=False, help="A model folder that `elman train` made.")
]
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
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        show_default=False,
        help="Where to compute: cpu, cuda, cuda:1, or auto for a GPU if there is one. [cpu]",
    ),
]


def _known_way(how: str | None) -> str | None:
    if how not in (None, "allow", "refuse"):
        raise typer.BadParameter("give allow or refuse")
    return how


Unknown = Annotated[
    Any,
    typer.Option(
        "--unknown",
        metavar="HOW",
        parser=str,
        callback=_known_way,
        show_default=False,
        help="Characters or words never seen in training: allow or refuse. [as the model was trained: allow]",
    ),
]


def device_or_cpu(name: str | None) -> str:
    """Return the name of a device that was given, the CPU if none was."""
    return "cpu" if name is None else name


def use_threads(count: int | None) -> None:
    """Set the number of threads that torch computes with, unless it is `None`."""
    if count is not None:
        # torch takes seconds to import; only commands that compute get here.
        import torch

        torch.set_num_threads(count)
