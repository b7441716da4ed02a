"""Features of an entity's own past: statistics over windows of its rows, ordered in time.

Spec: every row has the number of its entity, int32 in [0, n_entities), a time, int64, and values.
A row whose number is negative or whose time is missing is in no window, and every value of it is
missing. The rows of an entity are ordered by time, then by a further column if there is one
(missing before all others, -0.0 as 0.0), then as they came in.

The window of a row at t has the rows of its entity with t + low <= time <= t + high; the sums are
those of integers without bounds, and a bound may be left out. With `own` it ends with the row
itself instead: the rows before it in order, and itself. Of these the `rows` latest are kept. Both
ends of windows only move forward along an entity. Over a window:

    n_rows            its rows
    count             those with a value: neither missing nor NaN
    sum               of floats the exact sum rounded once, of integers the exact sum, 0 of none
    mean, var, std    as in `grouped`, from the exact sums
    min, max          in total order, -0.0 below 0.0
    first, last       the earliest and the latest value
    lag               the value of the n-th latest row, missing if that is or there are fewer rows
    quantile          exact; between two values as `grouped.order` has it
    n_unique, mode    of values, -0.0 as 0.0; of several most frequent ones the least

Infinities are counted apart, as in `moments`. Of fewer than `min_samples` values all but n_rows and
count are missing. A value depends on the rows in the window alone, to the bit: sums are differences
of exact integers, never of floats, and nothing depends on chunks or threads.

An entry takes what its table asks for and returns 0; the words stand in `layout`. In Python:

    requests   what is asked for: windows, columns, statistics
    state      `ordered` puts rows in the order of windows, `over` computes statistics
"""
