"""The quantile function of the standard normal distribution."""

from __future__ import annotations

from fastfeat.scalars.elementary.floats import INFINITY, polynomial
from fastfeat.scalars.elementary.logarithms import log
from fastfeat.scalars.op import NAN, Op, fma, magnitude, select, sqrt

# Numerators and denominators of M. J. Wichura, Algorithm AS 241: The percentage points of the
# normal distribution, Applied Statistics 37 (1988); about 1e-16.
_CENTRE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_SIDE = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_TAIL = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)


def normal_quantile(p: Op) -> Op:
    """Return the quantile of a standard normal variable at probability p; ±inf at 0 and 1."""
    q = p - 0.5
    centre = magnitude(q) <= 0.425
    tail_share = select(p < 0.5, p, 1.0 - p)
    r = sqrt(-log(tail_share))
    far = r > 5.0
    argument = select(centre, fma(-q, q, 0.180625), r - select(far, 5.0, 1.6))
    above, below = (_polynomial_of(argument, centre, far, side) for side in (0, 1))
    size = above / below
    outside = select(p < 0.5, -size, size)
    result = select(centre, q * size, outside)
    result = select(p.eq(0.0), -INFINITY, select(p.eq(1.0), INFINITY, result))
    return select((p >= 0.0) & (p <= 1.0), result, NAN)


def _polynomial_of(x: Op, centre: Op, far: Op, side: int) -> Op:
    """Return the numerator (side 0) or denominator (side 1) of the rational approximation at x.

    `centre` and `far` say in which of its three regions x is.
    """
    coefficients = zip(_CENTRE[side], _SIDE[side], _TAIL[side], strict=True)
    return polynomial(x, [select(centre, c, select(far, t, s)) for c, s, t in coefficients])
