"""Labels keep what they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.tables.labels import Labels, labels_of, read_labels, written
from elman.errors import DataError

KINDS = [st.text(max_size=3), st.integers(-(2**60), 2**60), st.booleans()]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_labels_of_one_type_are_what_they_were(kind, data):
    labels = data.draw(st.lists(kind, min_size=2).filter(lambda values: len(set(values)) > 1))
    known = Labels.of(labels_of(labels))
    assert Labels.from_json(known.to_json()) == known
    assert [known.classes[position] for position in known.positions(labels)] == labels
    assert known.from_written([str(label) for label in labels]) == labels or len({*map(written, labels)}) < len(
        {*labels}
    )


def test_numpys_scalars_are_plain_values():
    assert labels_of(np.array(["a", "b"])) == ["a", "b"]
    assert [type(label) for label in labels_of([np.int32(1), np.str_("a")][:1])] == [int]
    assert labels_of(np.array([True, False])) == [True, False]


@pytest.mark.parametrize("labels", [[1, "1"], [1, True], [True, "True"]])
def test_labels_that_would_be_mixed_up_are_named(labels):
    with pytest.raises(DataError, match="got 2 types") as caught:
        labels_of(labels)
    assert caught.value.where.splitlines() == [
        f"label {number}: {label!r} ({type(label).__name__})" for number, label in enumerate(labels, start=1)
    ]


def test_an_unknown_label_is_named_with_its_type():
    with pytest.raises(DataError, match="label 2: '1'") as caught:
        Labels((0, 1)).positions([1, "1"])
    assert caught.value.fix == "Known labels: 0, 1."


def test_the_labels_of_a_file_are_integers_only_if_all_are():
    assert read_labels([" 1", "0 ", "-3"]) == [1, 0, -3]
    for texts in (["1", "1.0"], ["1", "+1"], ["007"], ["1", ""], ["-0"], ["9" * 30]):
        assert read_labels(texts) == texts
