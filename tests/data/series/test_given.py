"""Forms of series in Python: sktime's and pandas' frames and arrays give what lists of arrays give."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from elman.data.series.given import series_of
from elman.data.series.panel import Layout
from elman.data.series.panel_values import panel_of
from elman.errors import DataError
from elman.models import SequenceClassifier, SequenceRegressor

SERIES = [np.random.default_rng(n).normal(size=(6, 2)) for n in range(8)]


class Frame:
    """What elman needs of a data frame."""

    def __init__(self, values: Any, names: Any = None, columns: Any = None):
        self._values = values
        self.columns = columns or list(range(values.shape[1]))
        self.index = SimpleNamespace(nlevels=1 if names is None else 2, get_level_values=lambda level: names)

    def to_numpy(self) -> Any:
        return self._values


def nested(series: list[np.ndarray]) -> Frame:
    cells = np.empty((len(series), series[0].shape[1]), dtype=object)
    for row, each in enumerate(series):
        for channel in range(each.shape[1]):
            cells[row, channel] = each[:, channel]
    return Frame(cells)


def long(series: list[np.ndarray]) -> Frame:
    """A value a row, in no order but that the first rows of the series are."""
    rows = [
        (value, f"s{number}", step, f"dim_{channel}")
        for number, each in enumerate(series)
        for channel, values in reversed(list(enumerate(each.T)))
        for step, value in reversed(list(enumerate(values)))
    ]
    return Frame(np.array(rows, dtype=object), columns=["value", "case_id", "reading_id", "dim_id"])


FORMS = {
    "numpy3D": lambda: np.stack([each.T for each in SERIES]),
    "nested_univ": lambda: nested(SERIES),
    "pd-long": lambda: long(SERIES),
    "pd-multiindex": lambda: Frame(np.concatenate(SERIES), np.repeat([f"s{n}" for n in range(8)], 6)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_list_of_arrays(form: str):
    found = series_of(FORMS[form]())
    assert found is not None
    for one, other in zip(found, SERIES, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_table_of_numbers_has_a_series_a_row():
    found = series_of(Frame(np.arange(6.0).reshape(2, 3)))
    assert found is not None
    assert [each.tolist() for each in found] == [[[0.0], [1.0], [2.0]], [[3.0], [4.0], [5.0]]]


@pytest.mark.parametrize("given", [["a text"], [[1.0, 2.0]], np.zeros((2, 3)), {"text": ["a"]}, np.array(["a"])])
def test_lists_and_texts_are_left_as_they_are(given: Any):
    assert series_of(given) is None


def test_frames_that_are_wrong_are_refused():
    unequal = nested([SERIES[0], SERIES[1]])
    unequal._values[1, 0] = np.zeros(3)
    with pytest.raises(DataError, match=r"(?s)one length.*sequence 2: 3, 6 steps"):
        series_of(unequal)
    deep = Frame(np.zeros((2, 1)), ["a", "b"])
    deep.index.nlevels = 3
    with pytest.raises(DataError, match="two levels"):
        series_of(deep)


@pytest.mark.parametrize(("row", "count"), [(slice(0, -1), "none"), ([*range(12), 3], "2")])
def test_a_long_frame_has_each_value_once(row: Any, count: str):
    frame = long(SERIES[:1])
    frame._values = frame._values[row]
    with pytest.raises(DataError, match=rf"(?s)one value for each step of each channel, got {count}.*case_id 's0'"):
        series_of(frame)


def test_a_long_frame_of_texts_is_refused():
    frame = long(SERIES[:1])
    frame._values[2, 0] = "much"
    with pytest.raises(DataError, match="column `value`"):
        series_of(frame)


def test_a_forecaster_reads_a_long_frame_as_its_series():
    series = {f"s{number}": each for number, each in enumerate(SERIES)}
    found, _, _ = panel_of(long(SERIES), Layout())
    expected, _, _ = panel_of(series, Layout())
    assert [each.name for each in found] == [each.name for each in expected] == list(series)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.target, other.target)


def test_pandas_frames_are_read():
    pandas = pytest.importorskip("pandas")
    index = pandas.MultiIndex.from_product([["a", "b"], [0, 1, 2]])
    found = series_of(pandas.DataFrame({"x": range(6), "y": range(6)}, index=index))
    assert found is not None
    assert [each.tolist() for each in found] == [[[0, 0], [1, 1], [2, 2]], [[3, 3], [4, 4], [5, 5]]]
    cells = pandas.DataFrame({"dim_0": [pandas.Series([1.0, 2.0]), pandas.Series([3.0])]})
    found = series_of(cells)
    assert found is not None
    assert [each.tolist() for each in found] == [[[1.0], [2.0]], [[3.0]]]
    assert series_of(pandas.DataFrame({"text": ["a", "b"], "label": [1, 2]})) is None


@pytest.mark.parametrize("form", FORMS)
def test_models_read_them(form: str):
    small: Any = {"hidden_size": 3, "epochs": 1}
    labels, numbers = [n % 2 for n in range(8)], [float(n) for n in range(8)]
    classifier = SequenceClassifier(**small).fit(FORMS[form](), labels)
    np.testing.assert_allclose(classifier.predict_proba(FORMS[form]()), classifier.predict_proba(SERIES))
    regressor = SequenceRegressor(**small).fit(FORMS[form](), numbers)
    np.testing.assert_allclose(regressor.predict(FORMS[form]()), regressor.predict(SERIES))
