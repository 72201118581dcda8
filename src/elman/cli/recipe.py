"""`elman recipe`: the textbook experiments, measured next to reported."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from elman.cli.folder import check_folder
from elman.cli.options import AsJson, Seed, examples, use_threads
from elman.cli.output import emit, emit_json, percent, say, table
from elman.errors import UsageError, nearest
from elman.folders import record_run

recipes = typer.Typer(
    help="Repeat the textbook experiments.",
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def register(app: typer.Typer) -> None:
    """Adds the command to the app."""
    app.add_typer(recipes, name="recipe")


@recipes.command("list", epilog=examples("elman recipe list"))
def list_recipes(as_json: AsJson = False) -> None:
    """List the recipes."""
    from elman.recipes import RECIPES

    if as_json:
        emit_json(
            {
                "recipes": [
                    {"recipe": name, "summary": each.summary, "reported": each.reported, "data": each.data}
                    for name, each in RECIPES.items()
                ]
            }
        )
        return
    rows = [(name, each.data, each.summary) for name, each in RECIPES.items()]
    for line in table(rows, header=("recipe", "data", "what it trains")):
        emit(line)


@recipes.command(
    "run",
    epilog=examples(
        "elman recipe run word-sentiment-lstm --data ../shared/data",
        "elman recipe run word-sentiment-rnn --data ../shared/data --seed 3 --json",
    ),
)
def run_recipe(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="One of `elman recipe list`.")],
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="DIR", show_default=False, help="Folder that holds the data sets, one folder each."
        ),
    ],
    seed: Seed = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, metavar="N", show_default=False, help="Passes over the data. [the recipe's]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            show_default=False,
            help="Folder to keep the model in. [nothing is kept]",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run of elman that FOLDER holds.")] = False,
    threads: Annotated[int, typer.Option("--threads", min=1, metavar="N", help="Threads to compute with.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Train and judge one recipe.

    Shows what is measured next to what was reported, and the majority rate to beat.
    """

    from elman.recipes import RECIPES
    from elman.training.progress import progress_for

    if name not in RECIPES:
        raise UsageError(f"There is no recipe `{name}`.", fix=nearest(name, RECIPES))
    if out is not None:
        check_folder(out, overwrite=overwrite)
    # The minibatches are small: a second thread gains nothing, and another number of threads gives other last bits.
    use_threads(threads)
    recipe = RECIPES[name]
    say(f"{name}: {recipe.summary}")
    given = {key: value for key, value in {"seed": seed, "epochs": epochs, "folder": out}.items() if value is not None}
    result = recipe.run(data, listener=progress_for(sys.stderr), **given)
    if out is not None:
        record_run(out, context.obj)
    if as_json:
        emit_json(result)
        return
    for line in measured_beside_reported(result):
        emit(line)


def measured_beside_reported(result: dict[str, Any]) -> list[str]:
    """The lines of the table that a run of a recipe ends with.

    Args:
        result: what `Recipe.run` returned; its figures between 0 and 1 that were also reported are accuracies.
    """
    reported = result.get("reported") or {}
    names = [name for name in result if name in reported or name.startswith(("accuracy", "parameters"))]
    rows = [(name, _figure(result[name]), _figure(reported.get(name))) for name in names]
    rows.append(("majority rate", _figure(result["majority"]), ""))
    rows.append(("seconds", f"{result['seconds']:.0f}", ""))
    return table(rows, header=(result["recipe"], "measured", "reported"))


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return percent(value) if 0 <= value <= 1 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_figure, value))
    return "–" if value is None else str(value)
