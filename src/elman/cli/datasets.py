"""`elman data`: the data sets that elman knows, and how to get them."""

import time
from pathlib import Path
from typing import Annotated

import typer

from elman.cli.commands import CONTEXT, Command, examples
from elman.cli.options import AsJson
from elman.cli.output import emit, emit_json, say
from elman.report.figures import table

FOLDER = Path("data")
SECONDS_BETWEEN_LINES = 5.0

data = typer.Typer(
    help="List the data sets that elman knows, and download them.",
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings=CONTEXT,
)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.add_typer(data, name="data")


@data.command("list", cls=Command, epilog=examples("elman data list", "elman data list --json"))
def list_datasets(as_json: AsJson = False) -> None:
    """List the data sets: use, unpacked size, licence, source."""
    from elman.data.known.catalogue import DATASETS

    if as_json:
        emit_json(
            {
                "data_sets": [
                    {
                        "data_set": each.name,
                        "use": each.use,
                        "description": each.description,
                        "bytes": each.size,
                        "licence": each.licence,
                        "source": each.source,
                        "downloadable": all(file.address for file in each.files),
                    }
                    for each in DATASETS.values()
                ]
            }
        )
        return
    rows = [(each.name, each.use, megabytes(each.size), each.licence, each.source) for each in DATASETS.values()]
    for line in table(rows, header=("data set", "use", "size", "licence", "source")):
        emit(line)


@data.command(
    "get",
    cls=Command,
    epilog=examples("elman data get enwik8 --data ../data", "elman data get tiny-shakespeare wikitext-2-v1"),
)
def get_datasets(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", show_default=False, help="Data sets of `elman data list`.")
    ],
    folder: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Folder that holds the data sets, one folder each.")
    ] = FOLDER,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Longest silence of the server.")
    ] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Download data sets and check their checksums.

    Complete files are not downloaded again; a download that was cut short continues where it stopped.
    """
    from elman.data.known.catalogue import find_dataset
    from elman.data.known.download import get_dataset

    for name in names:
        # All names are looked up before the first download.
        find_dataset(name)
    found = {name: get_dataset(name, folder, progress=_Lines(), timeout=timeout) for name in names}
    if as_json:
        emit_json(
            {
                "data_sets": {
                    name: [
                        {"part": got.file.part, "path": str(got.path), "downloaded": got.downloaded} for got in files
                    ]
                    for name, files in found.items()
                }
            }
        )
        return
    for name, files in found.items():
        for got in files:
            state = "downloaded" if got.downloaded else "already complete"
            emit(f"{name}\t{got.file.part}\t{got.path}\t{state}")


class _Lines:
    """Print the progress of a file at its begin and end, and every few seconds."""

    def __init__(self) -> None:
        self._name, self._said = "", 0.0

    def __call__(self, name: str, done: int, total: int | None) -> None:
        """Print a line if it is time for one."""
        now = time.monotonic()
        if name == self._name and done != total and now - self._said < SECONDS_BETWEEN_LINES:
            return
        self._name, self._said = name, now
        share = f" of {megabytes(total)} ({100 * done // max(total, 1)}%)" if total is not None else ""
        say(f"{name}: {megabytes(done)}{share}")


def megabytes(count: int) -> str:
    """Return a number of bytes in megabytes.

    >>> megabytes(100_000_000), megabytes(2180)
    ('100.0 MB', '0.1 MB')
    """
    return f"{max(count / 1e6, 0.1):,.1f} MB"
