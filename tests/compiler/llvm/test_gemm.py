"""The products against NumPy's in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.compiler.targets.llvm import gemm, machine
from tests.compiler.llvm.products import pack, pack_parts, panel_widths, product
from tests.examples import draws

SIZES = st.one_of(st.sampled_from([1, 3, 7, 8, 9, 15, 16, 17, 24, 31, 65, 129]), st.integers(0, 140))
DTYPES = st.sampled_from([np.float32, np.float64])


def _whole(columns: int, dtype: type) -> int:
    return gemm.vectors(columns, dtype) * machine.lanes(dtype)


def _near(got: np.ndarray, wanted: np.ndarray, k: int) -> None:
    np.testing.assert_allclose(got, wanted, rtol=0, atol=8 * (k + 1) * np.finfo(got.dtype).eps)


def _strided(matrix: np.ndarray, form: str) -> np.ndarray:
    """The same matrix with other strides."""
    if form == "transposed":
        return np.asfortranarray(matrix)
    if form == "scattered":
        return np.repeat(np.repeat(matrix, 2, 0), 3, 1)[::2, ::3]
    if form == "backwards":
        return np.ascontiguousarray(matrix[::-1, ::-1])[::-1, ::-1]
    if form == "wide":
        return np.concatenate([matrix, matrix], 1)[:, : matrix.shape[1]]
    return matrix


FORMS = st.sampled_from(["plain", "transposed", "scattered", "backwards", "wide"])


@draws(150)
@given(SIZES, SIZES, SIZES, DTYPES, FORMS, FORMS, st.booleans(), st.booleans(), st.integers(1, 3), st.integers(0, 99))
def test_product(m, k, n, dtype, a_form, b_form, packed, accumulate, threads, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (m, k)).astype(dtype), rng.uniform(-1, 1, (k, n)).astype(dtype)
    wide = _whole(n, dtype)
    filled = np.zeros((k, wide), dtype)
    filled[:, :n] = b
    before = rng.uniform(-1, 1, (m, wide)).astype(dtype)
    room = np.full((m, wide + machine.lanes(dtype)), np.nan, dtype)
    out = room[:, :wide]
    out[:] = before if accumulate else np.nan
    product(
        _strided(a, a_form),
        pack(_strided(b, b_form)) if packed else filled,
        out,
        accumulate=accumulate,
        threads=threads,
    )
    _near(out, a.astype(float) @ filled.astype(float) + accumulate * before, k)
    assert np.isnan(room[:, wide:]).all()


@draws(100)
@given(st.lists(SIZES, min_size=1, max_size=5), SIZES, DTYPES, FORMS, st.booleans(), st.integers(0, 99))
def test_parts_are_packed_as_the_joined_matrix(sizes, size, dtype, form, beside, seed):
    rng = np.random.default_rng(seed)
    shapes = [(size, part) if beside else (part, size) for part in sizes]
    parts = [rng.uniform(-1, 1, shape).astype(dtype) for shape in shapes]
    # The rows of matrices side by side are contiguous.
    given = [_strided(part, "wide" if beside else form) for part in parts]
    np.testing.assert_array_equal(pack_parts(given, beside=beside), pack(np.concatenate(parts, 1 if beside else 0)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "k", "n"), [(9, 1300, 120), (900, 20, 33), (17, 300, 700), (530, 600, 200)])
@pytest.mark.parametrize("threads", [1, 2])
def test_blocks(m: int, k: int, n: int, dtype: type, threads: int):
    """Shapes larger than the blocks in each direction, with A as it is in a weight gradient too."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (m, k)).astype(dtype), np.zeros((k, _whole(n, dtype)), dtype)
    b[:, :n] = rng.uniform(-1, 1, (k, n))
    wanted = a.astype(float) @ b.astype(float)
    for left in (a, np.asfortranarray(a)):
        for right in (b, pack(b)):
            out = np.full((m, b.shape[1]), np.nan, dtype)
            _near(product(left, right, out, threads=threads), wanted, k)


def test_same_bits_with_the_same_threads():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(200, 300)).astype(np.float32), rng.normal(size=(300, 480)).astype(np.float32)
    first, second = (product(a, b, np.empty((200, 480), np.float32), threads=2) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_nan_and_infinity_go_where_they_belong():
    a, b = np.ones((5, 7), np.float32), np.ones((7, 48), np.float32)
    a[2, 3], b[6, 40] = np.nan, np.inf
    out = product(a, pack(b), np.empty((5, 48), np.float32))
    assert np.isnan(out[2]).all()
    assert np.isposinf(np.delete(out, 2, 0)[:, 40]).all()
    np.testing.assert_array_equal(np.delete(np.delete(out, 2, 0), 40, 1), 7.0)


@given(SIZES, SIZES, DTYPES)
@draws(60)
def test_packed_layout(k: int, n: int, dtype: type):
    matrix = np.arange(1, k * n + 1, dtype=dtype).reshape(k, n)
    lanes, filled = machine.lanes(dtype), np.zeros((k, _whole(n, dtype)), dtype)
    filled[:, :n] = matrix
    wanted, column = [], 0
    for width in panel_widths(gemm.vectors(n, dtype)):
        wanted.append(filled[:, column : column + width * lanes].ravel())
        column += width * lanes
    wanted = np.concatenate([*wanted, np.zeros(0, dtype)])
    for form in (matrix, np.asfortranarray(matrix), _strided(matrix, "scattered")):
        packed = pack(form)
        np.testing.assert_array_equal(packed, wanted)


@pytest.mark.parametrize("vectors", range(30))
def test_panels_are_narrow_only_for_one_vector(vectors: int):
    widths = panel_widths(vectors)
    assert sum(widths) == vectors
    assert 1 not in widths or vectors == 1
    assert widths == sorted(widths, reverse=True)
