"""`elman recipe`: the textbook experiments, measured next to reported."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from elman.cli.commands import CONTEXT, Command, examples
from elman.cli.folder import run_in
from elman.cli.options import AsJson, Overwrite, Resume, Seed, use_threads
from elman.cli.output import emit, emit_json, say
from elman.errors import UsageError, nearest
from elman.report.figures import figure, table

FIGURES = ("data", "parameters", "best_epochs", "alphabet")

recipes = typer.Typer(
    help="Repeat the textbook experiments.",
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings=CONTEXT,
)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.add_typer(recipes, name="recipe")


@recipes.command("list", cls=Command, epilog=examples("elman recipe list"))
def list_recipes(as_json: AsJson = False) -> None:
    """List the recipes."""
    from elman.recipes import RECIPES

    if as_json:
        emit_json(
            {
                "recipes": [
                    {"recipe": name, "summary": each.summary, "reported": each.reported, "data": _data(each)}
                    for name, each in RECIPES.items()
                ]
            }
        )
        return
    rows = [(name, _data(each), each.summary) for name, each in RECIPES.items()]
    for line in table(rows, header=("recipe", "data", "what it trains")):
        emit(line)


@recipes.command(
    "run",
    cls=Command,
    epilog=examples(
        "elman recipe run word-sentiment-lstm --data ../shared/data",
        "elman recipe run word-sentiment-rnn --data ../shared/data --seeds 5 --json",
        "elman recipe run news-bilstm --data ../shared/data --best-epochs",
        "elman recipe run wiki-chars-own-gru --data ../shared/data --out wiki",
    ),
)
def run_recipe(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="One of `elman recipe list`.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            show_default=False,
            help="Folder that holds the data sets, one folder each; see elman data. Some recipes need none.",
        ),
    ] = None,
    seed: Seed = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            min=1,
            metavar="N",
            show_default=False,
            help="Runs with consecutive seeds, for their mean and deviation. [the recipe's]",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, metavar="N", show_default=False, help="Passes over the data. [the recipe's]"),
    ] = None,
    best_epochs: Annotated[
        bool,
        typer.Option(
            "--best-epochs",
            show_default=False,
            help="Find the best number of epochs first, on a tenth of the training rows.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="MODEL",
            show_default=False,
            help="Folder for the model and what --resume needs. [nothing is kept]",
        ),
    ] = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            min=1,
            metavar="N",
            show_default=False,
            help="Threads to compute with. [1 for small networks, else all cores]",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Repeat one experiment, measured next to reported.

    If the data is missing, the message says how to get it. With --out, Ctrl-C saves the run and stops it, and
    --resume continues it. With --seeds, finished seeds are not trained again, and N may be larger than before.

    Defaults are in [brackets].
    """
    from elman.recipes import RECIPES
    from elman.training.progress import progress_for

    if name not in RECIPES:
        raise UsageError(f"There is no recipe `{name}`.", fix=nearest(name, RECIPES))
    recipe = RECIPES[name]
    if data is None and recipe.data:
        raise UsageError(
            f"The recipe `{name}` reads {_data(recipe)}, and there is no --data.",
            fix="Give --data DIR, the folder that holds the data sets; `elman data get` fills it. See "
            "`elman recipe run --help`.",
        )
    if out is None and (resume or overwrite):
        flag = "--resume" if resume else "--overwrite"
        raise UsageError(f"{flag} needs the folder of the run.", fix="Give --out MODEL.")
    # Minibatches of words are small: a second thread gains nothing and changes the last bits.
    use_threads(threads or recipe.threads)
    say(f"{name}: {recipe.summary}")
    how: dict[str, Any] = {"seed": seed, "seeds": seeds, "epochs": epochs, "best_epochs": best_epochs}
    how |= {"folder": out, "resume": resume, "command": context.obj}
    given = {name: value for name, value in how.items() if value is not None}
    with run_in(out, command=context.obj, resume=resume, overwrite=overwrite):
        result = recipe.run(data or Path(), listener=progress_for(sys.stderr), **given)
    if as_json:
        emit_json(result)
        return
    for line in measured_beside_reported(result):
        emit(line)


def measured_beside_reported(result: dict[str, Any]) -> list[str]:
    """Return the lines of the table at the end of a recipe.

    Args:
        result: what the recipe's `run` returned.
    """
    reported = dict(result.get("reported") or {})
    # What the source reports of one run is comparable with the mean of several.
    reported |= {f"{name}_mean": value for name, value in reported.items() if f"{name}_mean" in result}
    metrics = _metrics(result["recipe"])
    names = [name for name in result if name in reported or name.startswith(FIGURES) or _metric(name, metrics)]
    rows = [_row(name, result[name], reported.get(name, ""), _metric(name, metrics)) for name in names]
    rows.append(("seconds", f"{result['seconds']:.0f}", ""))
    return table(rows, header=(result["recipe"], "measured", "reported"))


def _metrics(recipe: str) -> list[Any]:
    """Return the scores of the task of a recipe, the longest names first."""
    from elman.recipes import RECIPES
    from elman.tasks import find_task

    task = find_task(RECIPES[recipe].task)
    return sorted((each for each in task.metrics if each.name != "count"), key=lambda each: -len(each.name))


def _metric(name: str, metrics: list[Any]) -> Any:
    """Return the score that a figure is of, which may be its mean over several runs, or None."""
    endings = ("", *(f"_{each}" for each in ("mean", "deviation", "min", "max", "each")))
    return next((each for each in metrics if name in {f"{each.name}{ending}" for ending in endings}), None)


def _row(name: str, measured: Any, reported: Any, metric: Any) -> tuple[str, str, str]:
    title = name if metric is None else metric.heading + name.removeprefix(metric.name)
    percent = metric is not None and metric.percent
    return title.replace("_", " "), _figure(measured, percent=percent), _figure(reported, percent=percent)


def _figure(value: Any, *, percent: bool) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_figure(each, percent=percent) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_figure(each, percent=percent)}" for name, each in value.items())
    if isinstance(value, float):
        return figure(value, percent=True) if percent else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if value is None else str(value)


def _data(recipe: Any) -> str:
    return (" or " if recipe.any_data else ", ").join(recipe.data)
