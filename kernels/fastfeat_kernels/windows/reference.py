"""What the kernel of windows does, in plain Python over lists, by the definition."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from fastfeat_kernels.column import key_of, value_of_key
from fastfeat_kernels.windows.decay import half_power, moved_towards
from fastfeat_kernels.windows.requests import NO_BOUND, Interpolation, Wanted, Window

Value = float | int | bool | None


def over(
    codes: Sequence[int],
    times: Sequence[Value],
    ties: Sequence[Value] | None,
    columns: Sequence[tuple[str, Sequence[Value]]],
    wanted: Sequence[Wanted],
    first_row: int = 0,
    asking: tuple[Sequence[int], Sequence[Value]] | None = None,
) -> list[list[Value]]:
    """Return each wanted statistic of each row from the first that asks on; None where missing.

    Args:
        codes: number of the entity of each row, negative for none.
        times: their times.
        ties: what orders rows of one instant.
        columns: (type of the values, of `column.ELEMENTS`; the values).
        wanted: the statistics; sums of integers may come out beyond int64.
        first_row: the first row that asks.
        asking: the entities and times of other rows that ask; None where rows ask for themselves.
    """
    asks_of, asks_at = (codes, times) if asking is None else asking
    order = _rows_in_order(codes, times, ties)
    found: list[list[Value]] = []
    no_column: tuple[str, Sequence[Value]] = ("int8", [])
    for one in wanted:
        element, values = columns[one.column] if columns else no_column
        results: list[Value] = []
        for row in range(first_row, len(asks_of)):
            if asks_of[row] < 0 or asks_at[row] is None:
                results.append(None)
                continue
            own = [other for other in order if codes[other] == asks_of[row]]
            if one.window.own:
                own = own[: own.index(row) + 1]
            rows = _rows_in_window(one.window, times, own, _time(asks_at, row))
            value = _value(one, element, Seen(rows, values, times, row))
            if one.since and value is not None:
                value = _since(int(value), _time(asks_at, row), *one.since)
            results.append(value)
        found.append(results)
    return found


def _rows_in_order(
    codes: Sequence[int], times: Sequence[Value], ties: Sequence[Value] | None
) -> list[int]:
    rows = [row for row, code in enumerate(codes) if code >= 0 and times[row] is not None]

    def place(row: int) -> tuple[int, bool, float, int]:
        tie = None if ties is None else ties[row]
        is_value = tie is not None and tie == tie
        return _time(times, row), is_value, tie if is_value and tie is not None else 0, row

    return sorted(rows, key=place)


def _rows_in_window(
    window: Window, times: Sequence[Value], own: Sequence[int], time: int
) -> Sequence[int]:
    """Return which rows of an entity, in order, are in the window of a row at a time."""
    if not window.own and window.high != NO_BOUND:
        own = [other for other in own if _time(times, other) <= time + window.high]
    if window.low != NO_BOUND:
        own = [other for other in own if _time(times, other) >= time + window.low]
    return own[-window.rows :] if window.rows else own


def _time(times: Sequence[Value], row: int) -> int:
    time = times[row]
    assert time is not None
    return int(time)


class Seen(NamedTuple):
    """What a row sees.

    Args:
        rows: those in its window, in order.
        column: the values of all rows.
        times: the times of all rows.
        own: the row itself.
    """

    rows: Sequence[int]
    column: Sequence[Value]
    times: Sequence[Value]
    own: int


def _value(one: Wanted, element: str, seen: Seen) -> Value:
    """Return a statistic of the rows of a window."""
    rows, column = seen.rows, seen.column
    if one.statistic == "n_rows":
        return len(rows)
    known = [x for x in (column[row] for row in rows) if x is not None and x == x]
    if one.statistic == "count":
        return len(known)
    if len(known) < one.window.min_samples:
        return None
    keys = sorted(key_of(element, x) for x in known)
    match one.statistic:
        case "whole_mean":
            return math.trunc(Fraction(sum(map(int, known)), len(known))) if known else None
        case "sum" | "mean" | "var" | "std":
            return _moment(one, element, known)
        case "min":
            return value_of_key(element, keys[0]) if keys else None
        case "max":
            return value_of_key(element, keys[-1]) if keys else None
        case "first":
            return known[0] if known else None
        case "last":
            return known[-1] if known else None
        case "lag":
            return column[rows[-one.n]] if len(rows) >= one.n else None
        case "whole_quantile":
            at = (len(keys) - 1) * one.q
            place = {"lower": math.floor, "higher": math.ceil, "nearest": round}[one.interpolation]
            return value_of_key(element, keys[place(at)]) if keys else None
        case "quantile":
            ordered = [float(value_of_key(element, key)) for key in keys]
            return _quantile(ordered, one.q, one.interpolation) if keys else None
        case "n_unique":
            return len(set(known))
        case "mode":
            times = Counter(known)
            mode = min(times, key=lambda x: (-times[x], x), default=None)
            return mode + 0.0 if isinstance(mode, float) else mode
        case "rank" | "percentile":
            return _rank(one, seen, known)
        case "ewm_mean" | "ewm_mean_by":
            return _average(one, seen)
        case "slope":
            return _slope(one, seen)
        case "streak":
            is_true = [bool(x) and x == x for x in (column[row] for row in reversed(rows))]
            return [*is_true, False].index(False)


def _rank(one: Wanted, seen: Seen, known: Sequence[float]) -> float | None:
    own = seen.column[seen.own]
    if own is None or own != own or not known:
        return None
    others = list(known)
    if seen.own in seen.rows:
        others.remove(own)
    n_below, n_peers = sum(x < own for x in others), others.count(own)
    rank = 1 + n_below + {"min": 0, "max": n_peers, "average": n_peers / 2}[one.method]
    return rank / (len(others) + 1) if one.statistic == "percentile" else float(rank)


def _average(one: Wanted, seen: Seen) -> float | None:
    average, weight, last = 0.0, 0.0, 0
    finite, infinite = False, set[float]()
    for row in seen.rows:
        x, time = seen.column[row], _time(seen.times, row)
        if one.statistic == "ewm_mean":
            weight *= one.decay
        if x is None or x != x:
            continue
        if one.statistic == "ewm_mean_by" and weight:
            weight *= half_power(float(time - last) / one.half_life)
        last, x = time, float(x)
        if math.isinf(x):
            infinite.add(x)
        else:
            weight, finite = weight + 1.0, True
            average = moved_towards(average, x, weight)
    if infinite:
        return infinite.pop() if len(infinite) == 1 else None
    return average if finite else None


def _slope(one: Wanted, seen: Seen) -> float | None:
    points = [(_time(seen.times, row), seen.column[row]) for row in seen.rows]
    known = [(t, x) for t, x in points if x is not None and x == x]
    if any(isinstance(x, float) and math.isinf(x) for _, x in known):
        return None
    n, total_time = len(known), sum(t for t, _ in known)
    total = sum((Fraction(x) for _, x in known), Fraction(0))
    products = sum((t * Fraction(x) for t, x in known), Fraction(0))
    spread = n * sum(t * t for t, _ in known) - total_time**2
    if spread == 0:
        return None
    factor, divisor = one.per
    top = _to_53_bits(factor * (n * products - total_time * total))
    return _float_of(top / _to_53_bits(Fraction(divisor * spread)))


def _since(value: int, time: int, factor: int, parts: int) -> Value:
    return float((time - value) * factor) / float(parts) if parts else time - value


def _moment(one: Wanted, element: str, known: Sequence[float]) -> float | None:
    infinite = {x for x in known if isinstance(x, float) and math.isinf(x)}
    n = len(known)
    if one.statistic == "sum":
        if infinite:
            return infinite.pop() if len(infinite) == 1 else None
        total = sum(map(Fraction, known), Fraction(0))
        return _float_of(total) if element.startswith("float") else int(total)
    if n == 0 or (one.statistic != "mean" and n <= one.ddof):
        return None
    if infinite:
        return infinite.pop() if one.statistic == "mean" and len(infinite) == 1 else None
    total = sum(map(Fraction, known), Fraction(0))
    if one.statistic == "mean":
        return _float_of(_to_53_bits(total) / n)
    spread = n * sum(Fraction(x) ** 2 for x in known) - total * total
    variance = _to_53_bits(spread) / Fraction(float(n * (n - one.ddof)))
    return _float_of(variance) if one.statistic == "var" else _root_of(_to_53_bits(variance))


def _quantile(ordered: Sequence[float], q: float, interpolation: Interpolation) -> float:
    index = (len(ordered) - 1) * q
    low, high = ordered[math.floor(index)], ordered[math.ceil(index)]
    share = index - math.floor(index)
    match interpolation:
        case "lower":
            return low
        case "higher":
            return high
        case "nearest":
            return ordered[round(index)]
        case "midpoint":
            share = 0.5 if share else 0.0
        case "linear":
            pass
    if share == 0 or low == high:
        return low
    if math.isinf(high - low) and math.isfinite(low) and math.isfinite(high):
        return 2 * (low / 2 + (high / 2 - low / 2) * share)
    return low + (high - low) * share


def _float_of(exact: Fraction) -> float:
    """Return the nearest float, infinite beyond the largest."""
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _to_53_bits(exact: Fraction) -> Fraction:
    """Return the nearest number of 53 bits, however large or small."""
    if exact == 0:
        return exact
    unit = Fraction(2) ** (exact.numerator.bit_length() - exact.denominator.bit_length())
    return Fraction(float(exact / unit)) * unit


def _root_of(exact: Fraction) -> float:
    """Return the square root of a number of 53 bits, rounded to as many, then to a float."""
    if exact == 0:
        return 0.0
    size = (exact.numerator.bit_length() - exact.denominator.bit_length()) // 2
    root = math.sqrt(exact / Fraction(4) ** size)
    return _float_of(Fraction(root) * Fraction(2) ** size)
