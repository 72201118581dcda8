"""The elementwise operations of the language as vector instructions, with no calls.

The largest errors found, in ulp (the distance of neighbouring numbers): over every 64th float32, and over samples of
float64 (the tests assert them with a little slack). The operations that are one instruction are rounded correctly.

| | exp | log | sin | cos | tanh | sigmoid | erf | erfc | log1p | expm1 | softplus | power |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
| float32 | 1.03 | 0.80 | 1.46 | 1.43 | 2.40 | 2.40 | 2.37 | 4.24 | 0.79 | 1.46 | 1.48 | 1.17 |
| float64 | 0.99 | 0.82 | 1.48 | 1.48 | 2.56 | 2.44 | 1.97 | 3.51 | 0.75 | 1.56 | 1.26 | 0.97 |

No intermediate result overflows, results too small for a normal number are right, infinity gives the limit and NaN
gives NaN. Beyond ±100,000, where the reduction by quarter turns would lose digits, sin and cos call the system's
library, one number after the other; so does remainder where the quotient has more digits than a number.
"""

import ctypes
import math
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

from elman.compiler.targets.llvm import machine
from elman.compiler.targets.llvm.vectors import Code, Value

LN2 = Fraction("0.69314718055994530941723212145817656807550013436025525412068")
QUARTER_TURN = Fraction("1.57079632679489661923132169163975144209858469968755291048747")
TURNS_LIMIT = 1e5  # up to here sin and cos reduce their argument themselves


class Format:
    """A floating-point format, and how far the series of this file go in it.

    Args:
        dtype: float32 or float64.
    """

    def __init__(self, dtype: Any):
        info = np.finfo(dtype)
        wide = info.dtype == np.float64
        self.type = info.dtype.type
        self.digits = int(info.nmant)  # binary digits after the point
        self.bias = int(info.maxexp) - 1
        self.smallest = float(info.smallest_normal)
        self.rounder = 1.5 * 2.0**self.digits  # a number plus this has no room for a fraction
        self.exp_range = (-746.0, 710.0) if wide else (-104.0, 89.0)  # 0 below, infinite above
        self.tanh_limit = 20.0 if wide else 10.0  # 1 from here on
        self.exp_terms = 13 if wide else 7
        self.log_terms = 11 if wide else 5
        self.turn_terms = 9 if wide else 6
        self.erf_terms = 13 if wide else 7
        self.tail_limit = 28.0 if wide else 11.0  # erfc is 0 from here on

    def parts(self, value: Fraction, count: int) -> list[float]:
        """Split a constant into that many numbers of the format, which add up to it."""
        found = []
        for _ in range(count):
            found.append(float(self.type(float(value))))
            value -= Fraction(found[-1])
        return found


def emit(code: Code, operation: str, *values: Value) -> Value:
    """Write an elementwise operation.

    Args:
        code: where it is written.
        operation: one of UNARY, BINARY and `where` of the language.
        values: a vector for each argument.

    Returns:
        The vector of results.
    """
    return EMIT[operation](code, *values)


# Series


def _polynomial(code: Code, x: Value, coefficients: Sequence[float]) -> Value:
    """Evaluate a polynomial by Horner's rule, given its coefficients, lowest power first."""
    total = code.number(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = code.fma(total, x, code.number(coefficient))
    return total


def _at_most(code: Code, limit: float, x: Value) -> Value:
    bound = code.number(limit)
    return code.choose(code.holds(bound, "<", x), bound, x)  # NaN stays


def _at_least(code: Code, limit: float, x: Value) -> Value:
    bound = code.number(limit)
    return code.choose(code.holds(bound, ">", x), bound, x)  # NaN stays


def _abs(code: Code, x: Value) -> Value:
    return code.intrinsic("fabs", x)


# Exponential, and what is computed from it


def _reduced(code: Code, x: Value, unit: Fraction, parts: int) -> tuple[Value, Value, Value]:
    """Reduce x by the nearest multiple of a unit.

    Returns:
        The multiple `n` as a number, the same as an integer in the lowest bits of a vector, and `x − n·unit`.
    """
    form = Format(code.dtype)
    shifted = code.fma(x, code.number(float(1 / unit)), code.number(form.rounder))
    n = code.sub(shifted, code.number(form.rounder))
    for part in form.parts(unit, parts):
        x = code.fma(n, code.number(-part), x)
    return n, code.bits_of(shifted), x


def _exp_minus_one(code: Code, r: Value, power: int = 1) -> Value:
    """Compute `exp(power·r) − 1` for `|power·r|` up to ln 2 / 2: r + r²·(1/2 + r/6 + …)."""
    terms = range(2, Format(code.dtype).exp_terms + 1)
    rest = _polynomial(code, r, [power**n / math.factorial(n) for n in terms])
    first = r if power == 1 else code.add(r, r)
    return code.fma(code.mul(r, r), rest, first)


def _power_of_two(code: Code, n: Value) -> Value:
    """Compute 2ⁿ, if it is a normal number."""
    form = Format(code.dtype)
    exponent = code.builder.shl(n, code.whole_number(form.digits))
    return code.of_bits(code.builder.add(exponent, code.whole_number(form.bias << form.digits)))


def _times_power(code: Code, x: Value, n: Value, bits: Value) -> Value:
    """Compute `x·2ⁿ`, also where the result is not a normal number."""
    if code.host.bits == 512:
        flags = ir.IntType(max(8, code.lanes))
        types = [code.vector, code.vector, code.vector, flags, ir.IntType(32)]
        name = f"llvm.x86.avx512.mask.scalef.p{'s' if code.bytes == 4 else 'd'}.512"
        scale = code.declared(name, code.vector, types)
        as_the_mode_says = ir.Constant(ir.IntType(32), 4)
        return code.builder.call(scale, [x, n, x, ir.Constant(flags, -1), as_the_mode_says])
    form = Format(code.dtype)
    rounder = int(np.array(form.rounder, code.dtype).view(f"i{code.bytes}"))
    whole = code.builder.sub(bits, code.whole_number(rounder))
    half = code.builder.ashr(whole, code.whole_number(1))
    x = code.mul(x, _power_of_two(code, half))
    return code.mul(x, _power_of_two(code, code.builder.sub(whole, half)))


def _exp_within(code: Code, x: Value, more: Value | None = None) -> Value:
    """Compute `exp(x + more)`, with x in the range of the exponential and a tiny `more`."""
    n, bits, r = _reduced(code, x, LN2, 2)
    r = r if more is None else code.add(r, more)
    return _times_power(code, code.add(_exp_minus_one(code, r), code.number(1.0)), n, bits)


def _in_range(code: Code, x: Value) -> Value:
    low, high = Format(code.dtype).exp_range
    return _at_most(code, high, _at_least(code, low, x))


def _exp(code: Code, x: Value) -> Value:
    return _exp_within(code, _in_range(code, x))


def _expm1(code: Code, x: Value) -> Value:
    """Compute 2·(2ⁿ⁻¹·m + 2ⁿ⁻¹ − ½) with m = exp(r) − 1 and x = n·ln 2 + r.

    2ⁿ itself may not be a normal number.
    """
    x = _at_least(code, -2.0 * Format(code.dtype).digits, _in_range(code, x))  # -1 from here on
    _, bits, r = _reduced(code, x, LN2, 2)
    half = _power_of_two(code, code.builder.sub(bits, code.whole_number(1)))
    m = code.fma(half, _exp_minus_one(code, r), code.sub(half, code.number(0.5)))
    return code.add(m, m)


def _sigmoid(code: Code, x: Value) -> Value:
    """Compute 1/(1 + e) for x ≥ 0 and e/(1 + e) below, with e = exp(−|x|)."""
    below = _at_least(code, Format(code.dtype).exp_range[0], code.builder.fneg(_abs(code, x)))
    e, one = _exp_within(code, below), code.number(1.0)
    top = code.choose(code.holds(x, "<", code.number(0.0)), e, one)
    return code.div(top, code.add(one, e))


def _tanh(code: Code, x: Value) -> Value:
    """Compute m/(m + 2) with m = exp(2|x|) − 1, and the sign of x."""
    size = _at_most(code, Format(code.dtype).tanh_limit, _abs(code, x))
    _, bits, r = _reduced(code, size, LN2 / 2, 2)
    scale = _power_of_two(code, bits)
    m = code.fma(scale, _exp_minus_one(code, r, power=2), code.sub(scale, code.number(1.0)))
    return code.intrinsic("copysign", code.div(m, code.add(m, code.number(2.0))), x)


# Logarithm


def _log(code: Code, x: Value) -> Value:
    return _log_at_the_ends(code, x, _log_within(code, x))


def _log1p(code: Code, x: Value) -> Value:
    """Compute log(u) + c/u with u = 1 + x, rounded, and c the rounding error."""
    one, infinity = code.number(1.0), code.number(math.inf)
    u = code.add(one, x)
    left = code.choose(code.holds(x, ">", one), code.sub(one, code.sub(u, x)), code.sub(x, code.sub(u, one)))
    correction = code.choose(code.holds(u, "<", infinity), code.div(left, u), code.number(0.0))
    result = _log_within(code, u, correction)
    return _log_at_the_ends(code, u, code.choose(code.holds(u, "==", one), x, result))


def _log_within(code: Code, x: Value, more: Value | None = None) -> Value:
    """Compute `log(x) + more` for positive numbers."""
    k, f = _parts_of(code, x)
    high, low = Format(code.dtype).parts(LN2, 2)
    more = code.mul(k, code.number(low)) if more is None else code.fma(k, code.number(low), more)
    return code.fma(k, code.number(high), _log_of_one_plus(code, f, more))


def _parts_of(code: Code, x: Value) -> tuple[Value, Value]:
    """Return k and m − 1 with x = m·2ᵏ and m between √½ and √2."""
    form, builder = Format(code.dtype), code.builder
    tiny = code.holds(x, "<", code.number(form.smallest))
    grown = code.choose(tiny, code.mul(x, code.number(2.0 ** (form.digits + 2))), x)
    root = code.whole_number(int(np.array(math.sqrt(0.5), code.dtype).view(f"i{code.bytes}")))
    offset = builder.sub(code.bits_of(grown), root)
    k = builder.sitofp(builder.ashr(offset, code.whole_number(form.digits)), code.vector)
    k = code.add(k, code.choose(tiny, code.number(-form.digits - 2), code.number(0.0)))
    fraction = builder.and_(offset, code.whole_number((1 << form.digits) - 1))
    return k, code.sub(code.of_bits(builder.add(fraction, root)), code.number(1.0))


def _log_of_one_plus(code: Code, f: Value, more: Value) -> Value:
    """Compute `log(1 + f) + more`.

    2·artanh(s) with s = f/(2 + f) is f − f²/2 + s·(f²/2 + 2s²/3 + 2s⁴/5 + …).
    """
    s = code.div(f, code.add(f, code.number(2.0)))
    square = code.mul(s, s)
    series = [2 / (2 * n + 1) for n in range(1, Format(code.dtype).log_terms)]
    half = code.mul(code.number(0.5), code.mul(f, f))
    rest = code.fma(square, _polynomial(code, square, series), half)
    return code.add(f, code.sub(code.fma(s, rest, more), half))


def _log_at_the_ends(code: Code, x: Value, result: Value) -> Value:
    infinity, zero = code.number(math.inf), code.number(0.0)
    result = code.choose(code.holds(x, "<", infinity), result, x)  # infinity and NaN stay
    result = code.choose(code.holds(x, "<", zero), code.number(math.nan), result)
    return code.choose(code.holds(x, "==", zero), code.number(-math.inf), result)


# Pairs: a number as the sum of two, the second one the rest of the first one's rounding


def _pair_product(code: Code, a: Value, b: Value, rest: Value) -> tuple[Value, Value]:
    """Compute `a·b + rest`, the rest far smaller than the product."""
    high = code.mul(a, b)
    return high, code.add(code.fma(a, b, code.builder.fneg(high)), rest)


def _pair_sum(code: Code, a: Value, b: Value, rest: Value) -> tuple[Value, Value]:
    """Compute `a + b + rest`, with a larger than b, or 0, and b larger than the rest."""
    high = code.add(a, b)
    return high, code.add(code.add(code.sub(a, high), b), rest)


def _log_pair(code: Code, x: Value) -> tuple[Value, Value]:
    """Compute the logarithm of a positive number, with half as many digits again.

    It is k·ln 2 + s·(2 + s²·(2/3 + 2s²/5 + …)).
    """
    form, zero, two = Format(code.dtype), code.number(0.0), code.number(2.0)
    k, f = _parts_of(code, x)
    below, below_rest = _pair_sum(code, two, f, zero)
    s = code.div(f, below)
    left = code.fma(code.builder.fneg(s), below_rest, code.fma(code.builder.fneg(s), below, f))
    s_rest = code.div(left, below)
    z, z_rest = _pair_product(code, s, s, code.mul(two, code.mul(s, s_rest)))
    series = [2 / (2 * n + 1) for n in range(2, form.log_terms + 2)]
    third, third_rest = map(code.number, form.parts(Fraction(2, 3), 2))
    inner, inner_rest = _pair_sum(code, third, code.mul(z, _polynomial(code, z, series)), third_rest)
    rest = code.fma(z, inner_rest, code.mul(z_rest, inner))
    total, total_rest = _pair_sum(code, two, *_pair_product(code, z, inner, rest))
    rest = code.fma(s, total_rest, code.mul(s_rest, total))
    near, near_rest = _pair_product(code, s, total, rest)
    high, low = map(code.number, form.parts(LN2, 2))
    turns, turns_rest = _pair_product(code, k, high, code.mul(k, low))
    return _pair_sum(code, turns, near, code.add(turns_rest, near_rest))


def _power(code: Code, x: Value, y: Value) -> Value:
    """Compute exp(y·log|x|), with the sign that an odd whole exponent gives."""
    size = _abs(code, x)
    high, low = _log_pair(code, size)
    exponent, rest = _pair_product(code, y, high, code.mul(y, low))
    bounded = _in_range(code, exponent)
    rest = code.choose(code.holds(bounded, "==", exponent), rest, code.number(0.0))
    return _power_at_the_ends(code, x, y, _exp_within(code, bounded, rest))


def _power_at_the_ends(code: Code, x: Value, y: Value, result: Value) -> Value:
    builder, size, holds = code.builder, _abs(code, x), code.holds
    zero, one, infinity = code.number(0.0), code.number(1.0), code.number(math.inf)
    is_whole = lambda value: holds(code.intrinsic("floor", value), "==", value)  # noqa: E731
    odd = builder.and_(is_whole(y), builder.not_(is_whole(code.mul(y, code.number(0.5)))))
    grows = builder.xor(holds(size, ">", one), holds(y, "<", zero))
    at_an_end = builder.or_(holds(size, "==", zero), holds(size, "==", infinity))
    at_an_end = builder.or_(at_an_end, holds(_abs(code, y), "==", infinity))
    result = code.choose(at_an_end, code.choose(grows, infinity, zero), result)
    result = code.choose(holds(size, "==", one), one, result)
    result = code.intrinsic("copysign", result, code.choose(odd, x, one))
    negative = builder.and_(holds(x, "<", zero), holds(size, "<", infinity))
    result = code.choose(builder.and_(negative, builder.not_(is_whole(y))), code.number(math.nan), result)
    result = code.choose(holds(x, "!=", x), x, code.choose(holds(y, "!=", y), y, result))
    return code.choose(builder.or_(holds(y, "==", zero), holds(x, "==", one)), one, result)


# Error function

# exp(x²)·erfc(x)·(x + 2) for x from 1/2 on, by powers of w = 1 - 5/(x + 2), lowest first: interpolated where a
# Chebyshev polynomial is 0, with 50 digits; the errors are 1.1e-9 and 5.9e-17.
TAIL = {
    4: (
        *(0.895005757, -0.464300744, 0.161939086, -0.0259189322, -0.00552161986, 0.00301673921, 0.000324523888),
        *(-0.000355678776, -4.6706796e-05, 4.47116542e-05, 6.6824076e-06, -4.2340526e-06),
    ),
    8: (
        *(0.89500575590694975, -0.46430074427237206, 0.16193915053222971, -0.025918946162121693),
        *(-0.0055223821610650087, 0.0030169006449098945, 0.00032789201541588605, -0.00035635719765816676),
        *(-5.3646370239038301e-05, 4.597424644075683e-05, 1.3753094359210814e-05, -5.2422580917288103e-06),
        *(-3.4013815171047711e-06, 1.612612334780064e-07, 6.8952491626678413e-07, 1.6987019390066647e-07),
        *(-9.139546775817295e-08, -6.7762407335308926e-08, -5.7029670667845068e-10, 1.4964928174071874e-08),
        *(3.3757639360542224e-09, -1.8983039507909037e-09, -5.560136491733722e-10, 9.5969504077908798e-11),
    ),
}


def _erf_near(code: Code, x: Value) -> Value:
    """Compute erf(x) up to 1/2: 2/√π · (x − x³/3 + x⁵/10 − …)."""
    terms = range(Format(code.dtype).erf_terms)
    series = [2 / math.sqrt(math.pi) * (-1) ** n / math.factorial(n) / (2 * n + 1) for n in terms]
    return code.mul(x, _polynomial(code, code.mul(x, x), series))


def _erfc_far(code: Code, size: Value) -> Value:
    """Compute erfc(x) for x of at least 1/2."""
    size = _at_most(code, Format(code.dtype).tail_limit, size)
    minus_square, rest = _pair_product(code, code.builder.fneg(size), size, code.number(0.0))
    t = code.div(code.number(1.0), code.add(size, code.number(2.0)))
    w = code.fma(code.number(-5.0), t, code.number(1.0))
    return code.mul(
        _exp_within(code, _in_range(code, minus_square), rest), code.mul(t, _polynomial(code, w, TAIL[code.bytes]))
    )


def _erf(code: Code, x: Value) -> Value:
    size = _abs(code, x)
    far = code.intrinsic("copysign", code.sub(code.number(1.0), _erfc_far(code, size)), x)
    return code.choose(code.holds(size, "<", code.number(0.5)), _erf_near(code, x), far)


def _erfc(code: Code, x: Value) -> Value:
    far, size = _erfc_far(code, _abs(code, x)), _abs(code, x)
    far = code.choose(code.holds(x, "<", code.number(0.0)), code.sub(code.number(2.0), far), far)
    near = code.sub(code.number(1.0), _erf_near(code, x))
    return code.choose(code.holds(size, "<", code.number(0.5)), near, far)


# Sine and cosine


def _wave(code: Code, x: Value, name: str) -> Value:
    near = _wave_near(code, x, ahead=int(name == "cos"))
    far = code.any(code.holds(_abs(code, x), ">", code.number(TURNS_LIMIT)))
    (result,) = code.when(far, lambda: [_by_library(code, name, x)], lambda: [near])
    return result


def _wave_near(code: Code, x: Value, ahead: int) -> Value:
    """Compute the sine, or the cosine, which is a quarter turn ahead of it."""
    builder = code.builder
    _, bits, r = _reduced(code, x, QUARTER_TURN, 3)
    quarter = builder.add(bits, code.whole_number(ahead))
    bit = lambda n: builder.and_(quarter, code.whole_number(n))  # noqa: E731
    odd = builder.icmp_unsigned("!=", bit(1), code.whole_number(0))
    square = code.mul(r, r)
    terms = range(1, Format(code.dtype).turn_terms)
    sine = _polynomial(code, square, [(-1) ** n / math.factorial(2 * n + 1) for n in terms])
    sine = code.fma(code.mul(square, r), sine, r)
    cosine = _polynomial(code, square, [(-1) ** n / math.factorial(2 * n) for n in (0, *terms)])
    sign = builder.shl(bit(2), code.whole_number(8 * code.bytes - 2))
    return code.of_bits(builder.xor(code.bits_of(code.choose(odd, cosine, sine)), sign))


def _by_library(code: Code, name: str, *arguments: Value) -> Value:
    """Call a function of the system's mathematical library, lane by lane."""
    builder, double = code.builder, ir.DoubleType()
    address = _library_address(name)

    def lane(i: Value, values: list[Value]) -> list[Value]:
        numbers = [builder.extract_element(x, i) for x in arguments]
        numbers = numbers if code.bytes == 8 else [builder.fpext(number, double) for number in numbers]
        result = code.call(address, [double] * len(numbers), numbers, double)
        result = result if code.bytes == 8 else builder.fptrunc(result, code.scalar)
        return [builder.insert_element(values[0], result, i)]

    return code.loop(0, code.lanes, 1, lane, [arguments[0]])[0]


@cache
def _library_address(name: str) -> int:
    library = ctypes.CDLL("ucrtbase") if sys.platform == "win32" else ctypes.CDLL(None)
    try:
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except AttributeError:
        raise machine.Unavailable(f"This process has no `{name}` of a mathematical library.") from None


# The rest


def _sign(code: Code, x: Value) -> Value:
    zero = code.number(0.0)
    below = code.choose(code.holds(x, "<", zero), code.number(-1.0), code.choose(code.holds(x, "==", zero), zero, x))
    return code.choose(code.holds(x, ">", zero), code.number(1.0), below)  # NaN stays


def _softplus(code: Code, x: Value) -> Value:
    """Compute max(x, 0) + log(1 + exp(−|x|))."""
    return code.add(_at_least(code, 0.0, x), _log1p(code, _exp(code, code.builder.fneg(_abs(code, x)))))


def _remainder(code: Code, a: Value, b: Value) -> Value:
    """Compute a − b·⌊a/b⌋, exact while the whole part of the quotient is.

    After a quotient that was rounded up, the result is corrected by b.
    """
    quotient, infinity = code.div(a, b), code.number(math.inf)
    limit = code.number(2.0 ** Format(code.dtype).digits)
    far = code.builder.or_(code.holds(_abs(code, quotient), ">=", limit), code.holds(_abs(code, b), "==", infinity))
    near = code.fma(code.builder.fneg(code.intrinsic("floor", quotient)), b, a)
    (left,) = code.when(code.any(far), lambda: [_by_library(code, "fmod", a, b)], lambda: [near])
    zero = code.number(0.0)
    other_sign = code.builder.xor(code.holds(left, "<", zero), code.holds(b, "<", zero))
    wrong = code.builder.and_(code.holds(left, "!=", zero), other_sign)
    return code.choose(wrong, code.add(left, b), left)


def _extreme(code: Code, a: Value, b: Value, sign: str) -> Value:
    """Return the larger or the smaller, NaN if either is NaN."""
    chosen = code.choose(code.holds(a, sign, b), a, b)
    return code.choose(code.holds(a, "!=", a), a, chosen)


def _compared(code: Code, a: Value, b: Value, sign: str) -> Value:
    return code.choose(code.holds(a, sign, b), code.number(1.0), code.number(0.0))


EMIT: dict[str, Callable[..., Value]] = {
    "neg": lambda code, a: code.builder.fneg(a),
    "exp": _exp,
    "log": _log,
    "sqrt": lambda code, a: code.intrinsic("sqrt", a),
    "square": lambda code, a: code.mul(a, a),
    "reciprocal": lambda code, a: code.div(code.number(1.0), a),
    "sin": lambda code, a: _wave(code, a, "sin"),
    "cos": lambda code, a: _wave(code, a, "cos"),
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "relu": lambda code, a: _at_least(code, 0.0, a),
    "abs": _abs,
    "sign": _sign,
    "add": Code.add,
    "sub": Code.sub,
    "mul": Code.mul,
    "div": Code.div,
    "maximum": lambda code, a, b: _extreme(code, a, b, ">"),
    "minimum": lambda code, a, b: _extreme(code, a, b, "<"),
    "less": lambda code, a, b: _compared(code, a, b, "<"),
    "less_equal": lambda code, a, b: _compared(code, a, b, "<="),
    "equal": lambda code, a, b: _compared(code, a, b, "=="),
    "floor": lambda code, a: code.intrinsic("floor", a),
    "round": lambda code, a: code.intrinsic("nearbyint", a),
    "erf": _erf,
    "erfc": _erfc,
    "log1p": _log1p,
    "expm1": _expm1,
    "softplus": _softplus,
    "stop_gradient": lambda code, a: a,
    "remainder": _remainder,
    "power": _power,
    "where": lambda code, condition, a, b: code.choose(code.holds(condition, "!=", code.number(0.0)), a, b),
}
