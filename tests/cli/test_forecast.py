"""`elman train forecast`, `evaluate` with a backtest, and `predict` as a table."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from elman import EchoStateNetwork

FLAGS = (
    "--target",
    "sold",
    "--target",
    "lost",
    "--time",
    "day",
    "--series",
    "shop",
    "--known",
    "price",
    "--horizon",
    3,
)
SMALL = ("--window", 6, "--hidden-size", 4, "--epochs", 2, "--seed", 1)


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sales") / "sales.csv"
    rows = []
    for day in range(1, 32):
        for number, shop in enumerate(("north", "south")):
            given = f"{day % 7 + number},{day % 5}" if day <= 28 else ","
            rows.append(f"2024-01-{day:02d},{shop},{given},{day % 3}\n")
    path.write_text("day,shop,sold,lost,price\n" + "".join(rows))
    return path


def test_a_forecaster_is_trained_evaluated_and_used(elman, sales: Path, tmp_path: Path):
    model = tmp_path / "m"
    done = elman("train", "forecast", sales, *FLAGS, *SMALL, "--out", model, "--json")
    assert done.code == 0, done.err
    assert done.json["evaluated_on"] == "validation data"
    assert done.json["baseline"]["name"] == "ridge"
    assert {
        "mse",
        "mae",
        "rmse",
        "crps",
        "coverage",
        "mae_by_step",
        "mae_by_target",
        "mae_by_series",
    } <= done.json.keys()
    report = (model / "report.html").read_text()
    for said in ("Forecasts", "Errors by target", "seasonal naive baseline", "residuals"):
        assert said in report
    for command, flag in (("predict", "--probabilities"), ("predict", "--explain"), ("evaluate", "--mistakes")):
        refused = elman(command, model, sales, flag)
        assert refused.code != 0
        assert f"{flag}: not for a forecaster." in refused.err
    backtest = elman("evaluate", model, sales, "--origins", 2, "--stride", 3, "--json")
    assert backtest.code == 0, backtest.err
    assert backtest.json["windows"] == 4
    assert backtest.json["origins"] == 2
    table = elman("predict", model, sales)
    assert table.code == 0, table.err
    rows = list(csv.DictReader(io.StringIO(table.out)))
    assert [(row["shop"], row["day"]) for row in rows] == [
        (shop, f"2024-01-{day}") for shop in ("north", "south") for day in (29, 30, 31)
    ]
    assert all(float(row["sold 0.1"]) <= float(row["sold"]) <= float(row["sold 0.9"]) for row in rows)
    parts = [elman("predict", model, sales, "--shard", part).out for part in ("1/3", "2/3", "3/3")]
    assert "".join(parts) == table.out
    objects = elman("predict", model, sales, "--json").json["predictions"]
    assert [f"{each['lost']}" for each in objects] == [row["lost"] for row in rows]


def test_mistakes_of_files_end_with_one_message(elman, sales: Path, tmp_path: Path):
    model = tmp_path / "m"
    assert elman("train", "forecast", sales, *FLAGS, *SMALL, "--out", model).code == 0
    without = tmp_path / "without.csv"
    without.write_text("".join(sales.read_text().splitlines(keepends=True)[: 1 + 2 * 28]))
    done = elman("predict", model, without)
    assert done.code == 1
    assert "known covariates are given for 0 of the 3 steps" in done.err
    renamed = tmp_path / "renamed.csv"
    renamed.write_text(sales.read_text().replace("lost", "gone", 1))
    done = elman("predict", model, renamed)
    assert done.code == 1
    assert "There is no column `lost`" in done.err
    typed = elman("predict", model, "--text", "3 4 5")
    assert typed.code == 2
    assert "sequences of numbers" in typed.err


def test_a_reservoir_forecasts_and_segments_of_it_are_refused(elman, sales: Path, tmp_path: Path):
    flags = (*FLAGS, "--window", 6, "--cell", "reservoir", "--hidden-size", 8)
    done = elman("train", "forecast", sales, *flags, "--out", tmp_path / "m", "--json")
    assert done.code == 0, done.err
    assert "A reservoir keeps the weights that are drawn; ridge regression solves for the output layer." in done.err
    rows = list(csv.reader(io.StringIO(elman("predict", tmp_path / "m", sales).out)))
    assert len(rows) == 1 + 2 * 3
    refused = elman("train", "forecast", sales, *flags, "--method", "segments", "--out", tmp_path / "n")
    assert refused.code != 0
    assert "ridge solves for the output layer of the methods direct and recursive" in refused.err


def test_an_echo_state_network_is_named_where_commands_do_not_read_it(elman, sales: Path, tmp_path: Path):
    EchoStateNetwork(hidden_size=5, warmup_steps=5).fit(np.sin(np.arange(50.0))).save(tmp_path / "esn")
    for command in (("predict", tmp_path / "esn", sales), ("evaluate", tmp_path / "esn", sales)):
        refused = elman(*command)
        assert refused.code != 0
        assert "holds an EchoStateNetwork, which commands do not read" in refused.err
