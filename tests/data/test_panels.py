"""Tables of series: stamps, frequencies, gaps, covariates, and what is wrong with them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.series.calendar import calendar_features, cycles_for
from elman.data.series.panel import Layout
from elman.data.series.panel_files import read_panel
from elman.data.series.panel_values import panel_of
from elman.data.series.timestamps import Frequency, find_frequency, irregularities, parse_stamps, written_stamp
from elman.errors import DataError, ElmanError, ShapeError, UsageError

DAYS = np.arange("2024-01-01", "2024-04-01", dtype="datetime64[D]")
MONTHS = np.arange("2019-03", "2024-01", dtype="datetime64[M]")
REGULAR = {
    "hour": np.datetime64("2024-02-27T05", "s") + 3600 * np.arange(60),
    "15 minutes": np.datetime64("2024-02-27T05", "s") + 900 * np.arange(60),
    "day": DAYS,
    "business day": DAYS[np.is_busday(DAYS)],
    "week": DAYS[::7],
    "month": MONTHS,
    "quarter": MONTHS[::3],
    "year": MONTHS[::12],
}
month_ends = ((MONTHS + 1).astype("datetime64[D]") - 1).astype("datetime64[s]")


@pytest.mark.parametrize("name", REGULAR)
def test_a_frequency_is_found_and_goes_on(name: str):
    stamps = REGULAR[name].astype("datetime64[s]")
    frequency = find_frequency([stamps])
    assert frequency is not None
    assert str(frequency) == name
    assert list(irregularities(stamps, frequency)) == []
    np.testing.assert_array_equal(frequency.after(stamps[2], len(stamps) - 3), stamps[3:])


def test_month_ends_go_on_at_month_ends():
    frequency = find_frequency([month_ends])
    assert frequency == Frequency("month", 1, month_end=True)
    np.testing.assert_array_equal(frequency.after(month_ends[0], len(month_ends) - 1), month_ends[1:])


@pytest.mark.parametrize("name", REGULAR)
@given(st.data())
def test_one_missing_stamp_is_a_gap_and_never_another_frequency(name: str, data):
    stamps = REGULAR[name].astype("datetime64[s]")
    left_out = data.draw(st.integers(1, len(stamps) - 2))
    if len(stamps) < 6:
        return
    own = np.delete(stamps, left_out)
    frequency = find_frequency([own])
    assert frequency is not None
    assert str(frequency) == name
    assert [(each.row, each.kind, each.missing) for each in irregularities(own, frequency)] == [(left_out, "gap", 1)]


@given(st.integers(0, 10**9))
def test_written_stamps_are_read_again(seconds: int):
    stamp = np.datetime64(seconds, "s")
    stamps, wrong = parse_stamps([written_stamp(stamp, Frequency("second", 1))])
    assert not wrong
    assert stamps[0] == stamp


def test_calendar_features_are_on_the_circle_and_repeat():
    hours = np.datetime64("2024-01-01", "s") + 3600 * np.arange(24 * 15)
    cycles = cycles_for(Frequency("second", 3600), len(hours))
    assert cycles == ["hour", "weekday"]
    found = calendar_features(hours, cycles)
    np.testing.assert_allclose(np.square(found[:, 0::2]) + np.square(found[:, 1::2]), 1)
    np.testing.assert_allclose(found[24:, :2], found[:-24, :2], atol=1e-9)
    np.testing.assert_allclose(found[168:], found[:-168], atol=1e-9)
    assert cycles_for(Frequency("month", 1), 24) == ["yearday"]
    assert cycles_for(Frequency("month", 1), 20) == []
    assert cycles_for(Frequency(), 10**6) == []


TABLE = "day,shop,sold,price,size\n" + "".join(
    f"2024-01-{day:02d},{shop},{day * size},{10 - day},{size}\n"
    for day in range(1, 9)
    for shop, size in (("north", 1), ("south", 2))
)


def test_a_long_table_is_several_series(tmp_path: Path):
    path = tmp_path / "sales.csv"
    ahead = "2024-01-09,north,,1.5,1\n2024-01-10,north,,2.5,1\n"
    path.write_text(TABLE + ahead)
    options = {"target": ["sold"], "series": "shop", "time": "day", "known": ["price"], "static": ["size"]}
    series, layout, notes, _ = read_panel(str(path), options)
    assert [each.name for each in series] == ["north", "south"]
    north, south = series
    assert (len(north), north.ahead, len(south), south.ahead) == (8, 2, 8, 0)
    assert south.target[:, 0].tolist() == [2.0 * day for day in range(1, 9)]
    assert north.known[-2:, 0].tolist() == [1.5, 2.5]
    assert (north.static.tolist(), south.static.tolist()) == ([1.0], [2.0])
    assert str(north.stamps(8, 1)[0])[:10] == "2024-01-09"
    assert Layout.from_json(layout.to_json()) == layout
    assert notes == []


def mistake(tmp_path: Path, content: str, **options) -> ElmanError:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(ElmanError) as caught:
        read_panel(str(path), options)
    return caught.value


ROWS = [f"2024-01-{day:02d},{day}" for day in range(1, 11)]


def table(rows) -> str:
    return "day,value\n" + "\n".join(rows) + "\n"


def test_a_column_with_decimal_commas_is_not_left_out(tmp_path: Path):
    rows = "".join(f"2024-01-{day:02d};{day},5;{day}\n" for day in range(1, 11))
    error = mistake(tmp_path, f"day;load;price\n{rows}", separator=";")
    assert "line 2, column `load`: expected a number, got '1,5', which has a decimal comma" in (error.where or "")


@pytest.mark.parametrize(
    ("rows", "where", "problem", "fix"),
    [
        ([*ROWS[:4], ROWS[3], *ROWS[4:]], "line 6, column `day`", "twice", "--series"),
        ([*ROWS[:4], ROWS[5], ROWS[4], *ROWS[6:]], "line 7, column `day`", "follows the later", "Sort the rows"),
        ([*ROWS[:4], *ROWS[5:]], "line 6, column `day`", "1 step missing", "--missing carry"),
        ([*ROWS[:4], "2024-01-04 07:00,4", *ROWS[4:]], "line 6, column `day`", "whole number of steps", "Resample"),
        ([*ROWS[:4], "soon,4", *ROWS[4:]], "line 6, column `day`", "expected an ISO date", "--time none"),
        (
            [*ROWS[:4], "2024-01-05,many", *ROWS[5:]],
            "line 6, column `value`",
            "expected a number, got 'many'",
            "--missing",
        ),
        ([*ROWS[:4], '2024-01-05,"1,5"', *ROWS[5:]], "line 6, column `value`", "a decimal comma", "--missing"),
        ([*ROWS[:4], "2024-01-05,inf", *ROWS[5:]], "line 6, column `value`", "finite", "--missing"),
        ([*ROWS[:4], "2024-01-05,", *ROWS[5:]], "line 6, column `value`", "missing value", "--missing"),
        ([*ROWS[:4], "2024-01-05,1e300", *ROWS[5:]], "line 6, column `value`", "float32 holds", "Correct"),
    ],
)
def test_mistakes_are_named_with_line_column_and_repair(tmp_path: Path, rows, where, problem, fix):
    error = mistake(tmp_path, table(rows), target=["value"], time="day")
    said = str(error)
    assert "bad.csv" in said
    for part in (where, problem, fix):
        assert part in said


def test_a_wrong_date_in_a_column_of_dates_is_named_without_a_flag(tmp_path: Path):
    error = str(mistake(tmp_path, table([*ROWS[:4], "2024-02-31,5", *ROWS[5:]])))
    assert "line 6, column `day`: expected an ISO date" in error
    assert "--time none" in error


def test_columns_that_make_no_sense_are_refused(tmp_path: Path):
    both = mistake(tmp_path, table(ROWS), target=["value"], known=["value"])
    assert isinstance(both, UsageError)
    assert "not known ahead" in str(both)
    assert "Did you mean `value`" in str(mistake(tmp_path, table(ROWS), target=["valeu"]))
    irregular = [f"2024-01-{day:02d},{day}" for day in (1, 2, 4, 8, 9, 15, 20, 28)]
    assert "irregular" in str(mistake(tmp_path, table(irregular), target=["value"], time="day"))
    changing = "series,value,size\n" + "".join(f"a,{n},{n // 3}\n" for n in range(6))
    assert "line 5, column `size`" in str(mistake(tmp_path, changing, target=["value"], static=["size"]))


def test_gaps_and_missing_values_are_carried_or_marked(tmp_path: Path):
    path = tmp_path / "gaps.csv"
    path.write_text(table([*ROWS[:3], *ROWS[4:6], "2024-01-07,", *ROWS[7:]]))
    carried, _, notes, _ = read_panel(str(path), {"target": ["value"], "missing": "carry"})
    assert carried[0].target[:, 0].tolist() == [1, 2, 3, 3, 5, 6, 6, 8, 9, 10]
    assert any("1 missing step carried forward" in note for note in notes)
    marked, *_ = read_panel(str(path), {"target": ["value"], "missing": "mask"})
    assert np.isnan(marked[0].target[:, 0]).nonzero()[0].tolist() == [3, 6]


def without(column: str, shop: str) -> str:
    """Return the table of sales with a column that is empty in one series."""
    names = TABLE.splitlines()[0].split(",")
    rows = [line.split(",") for line in TABLE.splitlines()]
    for row in rows:
        if row[1] == shop:
            row[names.index(column)] = ""
    return "\n".join(map(",".join, rows)) + "\n"


SALES = {"target": ["sold", "price"], "series": "shop", "time": "day"}


@pytest.mark.parametrize("missing", ["mask", "carry"])
@pytest.mark.parametrize(
    ("column", "roles"),
    [("sold", SALES), ("price", SALES), ("price", {**SALES, "target": ["sold"], "known": ["price"]})],
)
def test_a_series_without_a_known_value_of_a_column_is_left_out_and_named(
    tmp_path: Path, missing: str, column: str, roles: dict
):
    path = tmp_path / "sales.csv"
    path.write_text(without(column, "north"))
    series, _, notes, _ = read_panel(str(path), {**roles, "missing": missing})
    assert [each.name for each in series] == ["south"]
    assert notes == [f"the series 'north' has no known value of `{column}`: left out"]
    # Frames give an answer for each series: none may be left out silently.
    layout = Layout(**{**{k: tuple(v) if isinstance(v, list) else v for k, v in roles.items()}, "missing": missing})
    rows = [line.split(",") for line in without(column, "north").splitlines()]
    with pytest.raises(DataError, match=f"row 1, column `{column}`: the series 'north' has no known value"):
        panel_of(Frame(dict(zip(rows[0], map(list, zip(*rows[1:], strict=True)), strict=True)), None), layout)


def test_an_array_without_a_known_value_to_carry_is_refused():
    unknown = np.stack([np.arange(5.0), np.full(5, np.nan)], 1)
    with pytest.raises(DataError, match="series 2, target 2"):
        panel_of([np.zeros((5, 2)), unknown], Layout(missing="carry"))
    marked, *_ = panel_of([unknown], Layout(missing="mask"))
    assert len(marked[0]) == 5


def test_a_file_whose_series_are_all_without_values_is_refused(tmp_path: Path):
    error = mistake(tmp_path, table([f"2024-01-{day:02d}," for day in range(1, 9)]), target=["value"], missing="mask")
    assert "line 2, column `value`: expected a known value" in str(error)


PRICES = "day,sold,price\n" + "".join(
    f"2024-01-{day:02d},{'' if day > 8 else day},{'' if day in (3, 10) else day}\n" for day in range(1, 12)
)


def test_a_missing_value_that_is_known_ahead_is_refused_unless_it_is_carried(tmp_path: Path):
    options = {"target": ["sold"], "known": ["price"]}
    for missing in ("mask", "error"):
        error = str(mistake(tmp_path, PRICES, **options, missing=missing))
        assert "line 11, column `price`" in error
        assert "--missing carry" in error
    # A row that is not there has no known covariates either.
    rows = PRICES.splitlines(keepends=True)
    gap = str(mistake(tmp_path, "".join([*rows[:10], rows[11]]), **options, missing="mask"))
    assert "line 11, column `price`: the step before has no row" in gap
    path = tmp_path / "prices.csv"
    path.write_text(PRICES)
    (series,), _, notes, _ = read_panel(str(path), {**options, "missing": "carry"})
    assert series.known[:, 0].tolist() == [1, 2, 2, 4, 5, 6, 7, 8, 9, 9, 11]
    assert "2 missing values of `price`: the last value is read, 1 of them in the steps to forecast" in notes
    path.write_text("".join(rows[:9]))
    (series,), _, notes, _ = read_panel(str(path), {**options, "missing": "mask"})
    assert "1 missing value of `price`: the last value is read" in notes


def test_another_frequency_than_in_training_is_refused(tmp_path: Path):
    path = tmp_path / "weeks.csv"
    path.write_text(table(ROWS))
    _, layout, *_ = read_panel(str(path), {})
    path.write_text(table([f"2024-{month:02d}-01,{month}" for month in range(1, 9)]))
    with pytest.raises(DataError, match=r"missing|Expected steps of a day"):
        read_panel(str(path), {}, layout)


STAMPS = {
    "dates": [f"2024-01-{day:02d}" for day in range(1, 21)],
    "whole numbers": [str(number) for number in range(20)],
}


@pytest.mark.parametrize(("trained", "given"), [("dates", "whole numbers"), ("whole numbers", "dates")])
def test_another_kind_of_stamps_than_in_training_is_refused(tmp_path: Path, trained: str, given: str):
    path = tmp_path / "a.csv"
    path.write_text(table([f"{stamp},1" for stamp in STAMPS[trained]]))
    _, layout, *_ = read_panel(str(path), {"time": "day", "target": ["value"]})
    for count in (1, 2, 20):
        path.write_text(table([f"{stamp},1" for stamp in STAMPS[given][:count]]))
        with pytest.raises(DataError) as caught:
            read_panel(str(path), {}, layout)
        for part in (f"Expected {trained}", f"got {given}", "as in training", "column `day`"):
            assert part in str(caught.value)


def test_years_are_numbers_where_training_had_numbers(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text(table([f"{step},1" for step in range(20)]))
    _, layout, *_ = read_panel(str(path), {"time": "day", "target": ["value"]})
    path.write_text(table([f"{step},1" for step in range(2000, 2020)]))
    (series,), *_ = read_panel(str(path), {}, layout)
    assert series.start == 2000


def test_time_none_goes_with_how_the_model_was_trained(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text(table(ROWS))
    _, dated, *_ = read_panel(str(path), {"time": "day", "target": ["value"]})
    _, undated, *_ = read_panel(str(path), {"time": "none", "target": ["value"]})
    assert read_panel(str(path), {"time": "none"}, undated)[0][0].start is None
    with pytest.raises(UsageError, match="got --time none"):
        read_panel(str(path), {"time": "none"}, dated)
    with pytest.raises(UsageError, match="trained without time stamps"):
        read_panel(str(path), {"time": "day"}, undated)


@pytest.mark.parametrize("rows", [[*ROWS[:4], *ROWS[5:]], [*ROWS[:4], "soon,4"], [*ROWS[:4], "2024-01-04 07:00,4"]])
def test_a_trained_model_is_not_advised_to_read_no_stamps(tmp_path: Path, rows: list[str]):
    path = tmp_path / "a.csv"
    path.write_text(table(ROWS))
    _, layout, *_ = read_panel(str(path), {"time": "day", "target": ["value"]})
    path.write_text(table(rows))
    with pytest.raises(DataError) as caught:
        read_panel(str(path), {}, layout)
    assert "--time none" not in str(caught.value)


def test_a_few_business_days_are_read_as_in_training(tmp_path: Path):
    path = tmp_path / "a.csv"
    business = [str(day) for day in DAYS[np.is_busday(DAYS)]]
    path.write_text(table([f"{day},1" for day in business]))
    _, layout, *_ = read_panel(str(path), {"time": "day", "target": ["value"]})
    assert str(layout.frequency) == "business day"
    path.write_text(table([f"{day},1" for day in business[:5]]))
    (series,), again, *_ = read_panel(str(path), {}, layout)
    assert (len(series), str(series.stamps(5, 1)[0])[:10]) == (5, "2024-01-08")
    assert again.frequency == layout.frequency
    path.write_text(table([f"{day},1" for day in (*business[:2], business[3])]))
    (series,), *_ = read_panel(str(path), {"missing": "mask"}, layout)
    assert len(series) == 4
    path.write_text(table([f"{day},1" for day in DAYS[:14]]))
    with pytest.raises(DataError, match="whole number of steps"):
        read_panel(str(path), {}, layout)
    path.write_text(table([f"{day},1" for day in DAYS[::7]]))
    with pytest.raises(DataError, match="Expected steps of a business day, as in training, got steps of a week"):
        read_panel(str(path), {"missing": "mask"}, layout)


def test_weeks_are_those_of_their_year():
    stamps, wrong = parse_stamps(["2020-W53", "2021-W01", "2021-W52", "2021-W53", "2021-W00", "2021-W54"])
    assert wrong == [3, 4, 5]
    assert [str(stamp)[:10] for stamp in stamps[:3]] == ["2020-12-28", "2021-01-04", "2021-12-27"]


def test_dates_of_eight_digits_are_dates(tmp_path: Path):
    digits = [str(day).replace("-", "") for day in DAYS]
    stamps, wrong = parse_stamps(digits)
    assert not wrong
    np.testing.assert_array_equal(stamps, DAYS.astype("datetime64[s]"))
    assert parse_stamps([*digits, "20240431"])[0].dtype.kind == "i"
    assert parse_stamps(["30000101", "30000102"])[0].dtype.kind == "i"
    path = tmp_path / "a.csv"
    path.write_text(table([f"{day},1" for day in digits]))
    _, layout, *_ = read_panel(str(path), {})
    assert (layout.time, layout.target, str(layout.frequency)) == ("day", ("value",), "day")
    frame = Frame({"day": np.array([int(day) for day in digits]), "value": np.ones(len(digits))}, None)
    _, layout, _ = panel_of(frame, Layout(time="day", target=("value",)))
    assert str(layout.frequency) == "day"


def test_stamps_with_offsets_are_written_in_utc(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text(table([f"2024-03-31T{hour:02d}:00:00+02:00,1" for hour in range(4, 20)]))
    (series,), layout, *_ = read_panel(str(path), {})
    assert layout.frequency is not None
    assert written_stamp(series.stamps(0, 1)[0], series.frequency) == "2024-03-31 02:00:00Z"
    path.write_text(table([f"2024-03-31T{hour:02d}:00:00,1" for hour in range(4, 20)]))
    (series,), *_ = read_panel(str(path), {}, layout)
    assert written_stamp(series.stamps(0, 1)[0], series.frequency) == "2024-03-31 04:00:00"
    said = str(mistake(tmp_path, table(["2024-03-31 04:00,1", "2024-03-31 05:00Z,1", "2024-03-31 06:00Z,1"])))
    assert "all have an offset, or none" in said
    assert "line 3" in said


def test_one_row_is_not_called_irregular(tmp_path: Path):
    said = str(mistake(tmp_path, table(ROWS[:1]), target=["value"], time="day"))
    assert "Expected at least two rows of a series, got one" in said


class Frame:
    """A data frame as pandas has it: columns, an index, a length."""

    def __init__(self, columns, index):
        self._columns, self.index = columns, index
        self.columns = list(columns)

    def __getitem__(self, name):
        return np.asarray(self._columns[name])

    def __len__(self):
        return len(next(iter(self._columns.values())))


class Levels:
    """An index of two levels: names of series and time stamps."""

    nlevels = 2

    def __init__(self, *levels):
        self._levels = levels

    def get_level_values(self, level):
        return np.asarray(self._levels[level])


def test_frames_arrays_and_panels_are_read_as_they_are():
    values = np.arange(12.0)
    stamps = DAYS[:12].astype("datetime64[ns]")
    (series,), layout, _ = panel_of(Frame({"load": values}, stamps), Layout())
    assert (layout.target, str(layout.frequency), len(series)) == (("load",), "day", 12)
    index = Levels(["a"] * 6 + ["b"] * 6, np.tile(stamps[:6], 2))
    both, _, _ = panel_of(Frame({"load": values}, index), Layout())
    assert [(each.name, each.target[:, 0].tolist()) for each in both] == [("a", [*range(6)]), ("b", [*range(6, 12)])]
    (single,), layout, _ = panel_of(values, Layout())
    assert (single.target.shape, layout.target) == ((12, 1), ("target 1",))
    many, _, _ = panel_of(values.reshape(2, 3, 2), Layout())
    assert [each.target.shape for each in many] == [(2, 3), (2, 3)]
    assert many[0].target.tolist() == values.reshape(2, 3, 2)[0].T.tolist()
    named, _, _ = panel_of({"x": values, "y": values[:5]}, Layout())
    assert [(each.name, len(each)) for each in named] == [("x", 12), ("y", 5)]
    with pytest.raises(ShapeError):
        panel_of([values, values.reshape(6, 2)], Layout())
    with pytest.raises(DataError, match="step 3"):
        panel_of(np.where(values == 2, np.inf, values), Layout())


def test_a_frame_with_an_index_is_read_as_in_training():
    values, stamps = np.arange(12.0), DAYS[:12].astype("datetime64[ns]")
    for index in (stamps, Levels(["a"] * 6 + ["b"] * 6, np.tile(stamps[:6], 2))):
        frame = Frame({"load": values}, index)
        series, layout, _ = panel_of(frame, Layout())
        again, same, _ = panel_of(frame, layout)
        assert same == layout
        assert [each.start for each in again] == [each.start for each in series]
