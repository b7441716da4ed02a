"""The civil calendar in primitive operations: day numbers to dates, weekdays and weeks, and back.

Days count from 1970-01-01, in the proleptic Gregorian calendar, as whole numbers in float64 (see
`integral_floats`). Internally years begin in March, so that the leap day is the last day of its
year.

Source: C. Neri, L. Schneider, "Euclidean affine functions and their application to calendar
algorithms", Software: Practice and Experience 53 (2023).
"""

from __future__ import annotations

from fastfeat_kernels.records import dataclass

from fastfeat.scalars import op
from fastfeat.scalars.integral_floats import floor_parts, floor_quotient, to_integer
from fastfeat.scalars.op import Op

DAYS_TO_1970 = 719_468
"""Days from 0000-03-01 to 1970-01-01."""
DAYS_PER_CENTURY_4 = 146_097
DAYS_PER_YEAR_4 = 1_461
DAYS_BEFORE_JANUARY = 306
"""Days from March 1st to January 1st."""


@dataclass(frozen=True, slots=True)
class CivilDate:
    """A date as whole numbers in float64; month and day count from 1."""

    year: Op
    month: Op
    day: Op
    ordinal: Op
    leap: Op


def civil_date(days: Op) -> CivilDate:
    """Return the date of a day number, |days| < 2**48."""
    century, rest = floor_parts(
        op.fma(days, 4.0, op.literal(4 * DAYS_TO_1970 + 3, "f64")), DAYS_PER_CENTURY_4
    )
    day_of_century = op.floor(rest * 0.25)
    year, rest = floor_parts(op.fma(day_of_century, 4.0, op.literal(3, "f64")), DAYS_PER_YEAR_4)
    day_of_year = op.floor(rest * 0.25)
    # 153 days in five months from March on, as a line of slope 2141 / 2**16
    line = op.fma(day_of_year, 2141.0, op.literal(197_913, "f64"))
    month, rest = floor_parts(line, 1 << 16)
    day = floor_quotient(rest, 2141) + 1.0
    next_year = day_of_year >= float(DAYS_BEFORE_JANUARY)
    year = op.fma(century, 100.0, year)
    year = op.select(next_year, year + 1.0, year)
    month = op.select(next_year, month - 12.0, month)
    leap = is_leap_year(year)
    before = op.select(leap, 60.0, op.literal(59.0, "f64"))
    ordinal = op.select(
        next_year, day_of_year - (DAYS_BEFORE_JANUARY - 1), day_of_year + before + 1.0
    )
    return CivilDate(year, month, day, ordinal, leap)


def is_leap_year(year: Op) -> Op:
    """Return whether a year has 366 days: centuries divisible by 16, other years divisible by 4."""
    _, of_century = floor_parts(year, 100)
    quotient = year * op.select(of_century.eq(0.0), 1 / 16, op.literal(1 / 4, "f64"))
    return quotient.eq(op.floor(quotient))


def first_day_of_month(year: Op, month: Op) -> Op:
    """Return the day number of the first of a month, 1 to 12."""
    early = month <= 2.0
    year = op.select(early, year - 1.0, year)
    month = op.select(early, month + 9.0, month - 3.0)
    century = floor_quotient(year, 100)
    leap_days = op.floor(century * 0.25) - century
    days = op.floor(year * (DAYS_PER_YEAR_4 / 4)) + leap_days
    return (
        days + floor_quotient(op.fma(month, 153.0, op.literal(2, "f64")), 5) - float(DAYS_TO_1970)
    )


def weekday(days: Op) -> Op:
    """Return the weekday of a day number, from 1 for Monday to 7 for Sunday."""
    _, rest = floor_parts(days + 3.0, 7)
    return rest + 1.0


def iso_week(days: Op) -> Op:
    """Return the ISO 8601 week, 1 to 53, of a day; the week's Thursday decides on the year."""
    date = civil_date(days)
    thursday = date.ordinal - weekday(days) + 4.0
    length = op.select(date.leap, 366.0, op.literal(365.0, "f64"))
    length_before = op.select(is_leap_year(date.year - 1.0), 366.0, op.literal(365.0, "f64"))
    ordinal = op.select(
        thursday < 1.0,
        thursday + length_before,
        op.select(thursday > length, thursday - length, thursday),
    )
    return floor_quotient(ordinal + 6.0, 7)


def days_in_month(date: CivilDate) -> Op:
    """Return the number of days in the month of a date."""
    month = to_integer(date.month)
    # 31 for the odd months to July and the even ones from August
    length = ((month ^ (month >> 3)) & 1) | 30
    february = op.select(date.leap, op.literal(29, "i64"), 28)
    return op.select(date.month.eq(2.0), february, length)
