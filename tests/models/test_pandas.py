"""Real frames of pandas, in its own forms and in those of sktime: fitted, predicted and scored as lists of arrays."""

from typing import Any

import numpy as np
import pytest

from elman import SequenceClassifier, SequenceForecaster, SequenceRegressor
from elman.errors import DataError

pd = pytest.importorskip("pandas")

COUNT, STEPS = 12, 8
ARRAYS = [np.sin(np.arange(STEPS) + n) for n in range(COUNT)]
SMALL: dict[str, Any] = {"hidden_size": 4, "epochs": 1, "seed": 1}
NUMBERS = [float(n % 5) for n in range(COUNT)]
LABELS = ["a", "b", "b"] * (COUNT // 3)
MULTI = pd.MultiIndex.from_product([[f"s{n:02d}" for n in range(COUNT)], range(STEPS)], names=["id", "t"])

FRAMES = {
    "nested": lambda: pd.DataFrame({"c": [pd.Series(each) for each in ARRAYS]}),
    "nested with dates": lambda: pd.DataFrame(
        {"c": [pd.Series(each, index=pd.date_range("2024-01-01", periods=STEPS)) for each in ARRAYS]}
    ),
    "nested nullable": lambda: pd.DataFrame({"c": [pd.Series(each, dtype="Float64") for each in ARRAYS]}),
    "multi-index": lambda: pd.DataFrame({"c": np.concatenate(ARRAYS)}, index=MULTI),
    "multi-index nullable": lambda: pd.DataFrame({"c": np.concatenate(ARRAYS)}, index=MULTI).astype("Float64"),
    "wide": lambda: pd.DataFrame(np.stack(ARRAYS)),
    "wide nullable": lambda: pd.DataFrame(np.stack(ARRAYS)).astype("Float64"),
    "wide objects": lambda: pd.DataFrame(np.stack(ARRAYS)).astype(object),
    "column of columns": lambda: pd.Series([pd.Series(each) for each in ARRAYS]),
    "list of columns": lambda: [pd.Series(each, dtype="Float64") for each in ARRAYS],
}


@pytest.mark.parametrize("form", FRAMES)
def test_every_form_of_series_is_the_list_of_arrays(form: str):
    frame = FRAMES[form]()
    for made, answers in ((SequenceRegressor, NUMBERS), (SequenceClassifier, LABELS)):
        expected = made(**SMALL).fit(ARRAYS, answers)
        model = made(**SMALL).fit(frame, pd.Series(answers))
        np.testing.assert_array_equal(model.predict(frame), expected.predict(ARRAYS))
        assert model.score(frame, pd.Series(answers)) == expected.score(ARRAYS, answers)


@pytest.mark.parametrize(
    "answers",
    [
        pd.Series(NUMBERS, dtype="Float64"),
        pd.Series(NUMBERS).astype(int).astype("Int64"),
        pd.Series(NUMBERS).set_axis(range(50, 50 + COUNT)),
        pd.DataFrame({"load": NUMBERS}),
    ],
)
def test_numbers_of_any_type_are_targets(answers: Any):
    expected = SequenceRegressor(**SMALL).fit(ARRAYS, NUMBERS).predict(ARRAYS)
    np.testing.assert_array_equal(SequenceRegressor(**SMALL).fit(ARRAYS, answers).predict(ARRAYS), expected)


@pytest.mark.parametrize("dtype", ["str", "string", "object", "category"])
def test_texts_and_labels_of_any_type_are_read(dtype: str):
    texts = [f"{label} film {n}" for n, label in enumerate(LABELS)]
    expected = SequenceClassifier(**SMALL).fit(texts, LABELS).predict_proba(texts)
    model = SequenceClassifier(**SMALL).fit(pd.Series(texts, dtype=dtype), pd.Series(LABELS, dtype=dtype))
    np.testing.assert_array_equal(model.predict_proba(pd.DataFrame({"text": texts}).astype(dtype)), expected)
    assert list(model.classes_) == ["a", "b"]


def test_missing_values_of_nullable_types_are_missing():
    wide = pd.DataFrame(np.stack(ARRAYS)).astype("Float64")
    wide.iloc[2, 3] = pd.NA
    gaps = np.stack(ARRAYS)
    gaps[2, 3] = np.nan
    expected = SequenceRegressor(missing="mask", **SMALL).fit(list(gaps), NUMBERS).predict(list(gaps))
    model = SequenceRegressor(missing="mask", **SMALL).fit(wide, NUMBERS)
    np.testing.assert_array_equal(model.predict(wide), expected)
    with pytest.raises(DataError, match="sequence 3, step 4"):
        SequenceRegressor(**SMALL).fit(wide, NUMBERS)
    answers = pd.Series(NUMBERS, dtype="Float64")
    answers[3] = pd.NA
    with pytest.raises(DataError, match="number 4"):
        SequenceRegressor(**SMALL).fit(ARRAYS, answers)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (lambda: FRAMES["multi-index"]().assign(name="x"), "columns 'name'"),
        (lambda: FRAMES["multi-index"]().sample(frac=1, random_state=0), "sort_index"),
        (lambda: FRAMES["multi-index"]().iloc[[1, 0, *range(2, COUNT * STEPS)]], "series 's00'"),
        (lambda: pd.DataFrame({"c": [pd.Series(["a", "b"])] * COUNT}), "sequence 1, channel 1"),
        (lambda: pd.DataFrame({"c": [*map(pd.Series, ARRAYS[1:]), None]}), "sequence 12, channel 1"),
    ],
)
def test_frames_that_are_wrong_are_refused(frame: Any, said: str):
    with pytest.raises(DataError, match=said):
        SequenceRegressor(**SMALL).fit(frame(), NUMBERS)


WAVE = np.sin(np.arange(40.0)) + np.arange(40) / 20
DAYS = pd.date_range("2024-01-01", periods=40)
FORECAST: dict[str, Any] = {"horizon": 3, "window": 6, **SMALL}
LONG = pd.DataFrame(
    {
        "shop": ["a"] * 40 + ["b"] * 40,
        "day": [*DAYS, *DAYS],
        "y": [*WAVE, *WAVE * 2],
        "price": [n % 3 for n in range(80)],
    }
)
ROLES = {"series": "shop", "time": "day", "target": "y", "past": "price"}


def forecast(data: Any, **how: Any) -> tuple[np.ndarray, dict[str, Any]]:
    settings = {name: how.pop(name) for name in ("missing", "calendar") if name in how}
    model = SequenceForecaster(**FORECAST, **settings).fit(data, **how)
    return np.array(model.predict(data)).reshape(-1, 3), model.evaluate(data)


ONE_SERIES = {
    "dates": lambda: (pd.DataFrame({"y": WAVE}, index=DAYS), {}),
    "column": lambda: (pd.Series(WAVE, index=DAYS, name="y"), {}),
    "column without a name": lambda: (pd.Series(WAVE, index=DAYS), {}),
    "dates of a zone": lambda: (pd.DataFrame({"y": WAVE}, index=DAYS.tz_localize("Europe/Berlin")), {}),
    "periods": lambda: (pd.DataFrame({"y": WAVE}, index=DAYS.to_period("D")), {}),
    "column of dates": lambda: (pd.DataFrame({"day": DAYS, "y": WAVE}), {}),
    "column of texts": lambda: (pd.DataFrame({"day": DAYS.strftime("%Y-%m-%d"), "y": WAVE}), {"time": "day"}),
    "nullable": lambda: (pd.DataFrame({"y": WAVE}, index=DAYS).astype("Float64"), {}),
    "objects": lambda: (pd.DataFrame({"y": WAVE.astype(object)}, index=DAYS), {}),
    "list of one": lambda: ([pd.Series(WAVE, index=DAYS)], {}),
    "nested": lambda: (pd.DataFrame({"y": [pd.Series(WAVE, index=DAYS)]}), {}),
}


@pytest.mark.parametrize("form", ONE_SERIES)
def test_every_form_of_a_series_is_forecast_alike(form: str):
    expected, scores = forecast(pd.DataFrame({"day": DAYS, "y": WAVE}), time="day", target="y")
    data, roles = ONE_SERIES[form]()
    found, own = forecast(data, **roles)
    np.testing.assert_array_equal(found, expected)
    assert own["mse"] == scores["mse"]


LONG_FORMS = {
    "texts": lambda: (LONG.astype({"shop": "string"}), ROLES),
    "categories": lambda: (LONG.astype({"shop": "category"}), ROLES),
    "nullable": lambda: (LONG.astype({"y": "Float64", "price": "Int64"}), ROLES),
    "multi-index": lambda: (LONG.set_index(["shop", "day"]), {"target": "y", "past": "price"}),
    "multi-index of categories": lambda: (
        LONG.astype({"shop": "category"}).set_index(["shop", "day"]),
        {"target": "y", "past": "price"},
    ),
    "multi-index of periods": lambda: (
        LONG.assign(day=LONG["day"].dt.to_period("D")).set_index(["shop", "day"]),
        {"target": "y", "past": "price"},
    ),
    "three levels": lambda: (
        LONG.assign(region="north").set_index(["region", "shop", "day"]),
        {"target": "y", "past": "price"},
    ),
    "list": lambda: (
        [each.drop(columns="shop") for _, each in LONG.groupby("shop")],
        {"time": "day", "target": "y", "past": "price"},
    ),
    "mapping": lambda: (
        {name: each.set_index("day").drop(columns="shop") for name, each in LONG.groupby("shop")},
        {"target": "y", "past": "price"},
    ),
}


@pytest.mark.parametrize("form", LONG_FORMS)
def test_every_form_of_several_series_is_forecast_alike(form: str):
    expected, scores = forecast(LONG, **ROLES)
    data, roles = LONG_FORMS[form]()
    found, own = forecast(data, **roles)
    np.testing.assert_array_equal(found, expected)
    assert own["mse"] == scores["mse"]


def test_times_of_a_zone_are_read_in_utc():
    # The clocks in Berlin change on 31 March 2024.
    hours = pd.date_range("2024-03-30 12:00", periods=40, freq="h", tz="Europe/Berlin")
    model = SequenceForecaster(**FORECAST).fit(pd.DataFrame({"y": WAVE}, index=hours))
    (series,) = model._like_training(pd.DataFrame({"y": WAVE}, index=hours))
    assert (str(series.start), str(series.frequency)) == ("2024-03-30T11:00:00", "hour")


def test_a_row_a_series_is_a_panel():
    nested = pd.DataFrame({"y": [pd.Series(WAVE), pd.Series(WAVE[:30])], "z": [pd.Series(WAVE), pd.Series(WAVE[:30])]})
    model = SequenceForecaster(**FORECAST).fit(nested)
    assert model.task_.encoders["series"].layout.target == ("y", "z")
    both = [np.stack([WAVE, WAVE], 1), np.stack([WAVE[:30]] * 2, 1)]
    expected = SequenceForecaster(**FORECAST).fit(both)
    np.testing.assert_array_equal(model.predict(nested), expected.predict(both))


@pytest.mark.parametrize("missing", ["mask", "carry"])
def test_missing_values_of_nullable_types_are_masked_or_carried(missing: str):
    gaps = np.where(np.arange(40) == 20, np.nan, WAVE)
    expected, _ = forecast(gaps, missing=missing, calendar=False)
    column = pd.Series(pd.array([None if np.isnan(each) else each for each in gaps], dtype="Float64"), index=DAYS)
    found, _ = forecast(column.to_frame("y"), missing=missing, calendar=False)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(DataError, match="row 21, column `y`"):
        forecast(column.to_frame("y"))


def test_static_categories_of_any_type_are_read_and_missing_ones_refused():
    frame = LONG.assign(kind=["x"] * 40 + ["y"] * 40)
    expected, _ = forecast(frame, static="kind", **ROLES)
    for dtype in ("category", "string", "object"):
        found, _ = forecast(frame.astype({"kind": dtype}), static="kind", **ROLES)
        np.testing.assert_array_equal(found, expected)
        missing = frame.astype({"kind": dtype})
        missing.loc[60, "kind"] = None
        with pytest.raises(DataError, match="row 61, column `kind`: the value of the series is missing"):
            forecast(missing, static="kind", **ROLES)
    nameless = LONG.astype({"shop": "string"})
    nameless.loc[7, "shop"] = pd.NA
    with pytest.raises(DataError, match="row 8, column `shop`: the name of the series is missing"):
        forecast(nameless, **ROLES)


def test_columns_of_one_name_are_refused():
    with pytest.raises(DataError, match="Two columns are named 'y'"):
        forecast(pd.DataFrame(np.stack([WAVE, WAVE], 1), columns=["y", "y"], index=DAYS))


def test_series_that_are_not_named_are_not_read_as_one():
    with pytest.raises(DataError, match="series"):
        forecast(LONG[["day", "y"]])
