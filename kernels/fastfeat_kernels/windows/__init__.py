"""Features of an entity's own past: statistics over windows of its rows, ordered in time.

Spec: every row has the number of its entity, int32 in [0, n_entities), a time, int64, and values.
A row whose number is negative or whose time is missing is in no window, and every value of it is
missing. The rows of an entity are ordered by time, then by a further column if there is one
(missing before all others, -0.0 as 0.0), then as they came in.

The window of a row at t has the rows of its entity with t + low <= time <= t + high; the sums are
those of integers without bounds, and a bound may be left out. With `own` it ends with the row
itself instead: the rows before it in order, and itself. Of these the `rows` latest are kept. Both
ends of windows only move forward along an entity. The rows that ask may be others than those that
are seen, of the same entities; no window ends with them. Over a window:

    n_rows            its rows
    count             those with a value: neither missing nor NaN
    sum               of floats the exact sum rounded once, of integers the exact sum, 0 of none
    mean, var, std    as in `grouped`, from the exact sums
    whole_mean        of integers the exact mean without its fraction
    min, max          in total order, -0.0 below 0.0
    first, last       the earliest and the latest value
    lag               the value of the n-th latest row, missing if that is or there are fewer rows
    quantile          exact; between two values as `grouped.order` has it
    n_unique, mode    of values, -0.0 as 0.0; of several most frequent ones the least
    rank              of the row's own value, in the window or not, among the values of the window:
                      1 and the number below it; of equal ones their "average", "min" or "max"
    percentile        the rank divided by the number of values, the own one counted once
    ewm_mean          of all values of the entity before the end: the weight of one is decay to the
                      power of the rows since, missing ones too; one step a value (`decay`)
    ewm_mean_by       the same, with the weight 2**-((time since) / half_life)
    slope             of least squares, of values against times: factor * (n sum(t x) - sum(t)
                      sum(x)) and divisor * (n sum(t t) - sum(t)**2), exact, rounded once each,
                      and divided; missing where no two times differ
    streak            how many of the latest rows are true, one after the other; missing is not true

Infinities are counted apart, as in `moments`; a slope with one is missing. Of fewer than
`min_samples` values all but n_rows and count are missing. A value depends on the rows in the window
alone, to the bit: sums are differences of exact integers, never of floats, and nothing depends on
chunks or threads.

Rows are dealt out to partitions of neighbouring entities, a few thousand rows each, and what
follows stays in the cache: within a partition entities are taken together until they have 2,048
rows, and 256 rows at a time get their results. Counts and sums are differences of what stands
before two places, so a window costs the same whatever its length: least and greatest values are
those of a suffix and a prefix (`extremes`), order statistics come from trees over the ranks of an
entity's values (`ranks`), averages with weights and slopes from what takes values in as windows
move on (`averages`, `slopes`). Sums are integers of 80 bits on a grid that holds the values of a
batch; where they are not on it, those of an entity get as many bits as they need (`wide`). Results
wait as rows of 4, 8 or 16 words, until they are turned into columns in input order.

Cost on one core of a Zen 4, busy with other work too, at 10 million rows of 100,000 entities: 140
ns a row for 15 results (count, sum, mean and greatest over 1 hour, 24 hours and 7 days, a mean of 3
rows, two lags), a sixth of it for memory that is new to the process; 18 ns a deviation; 40 ns an
order statistic of entities of 100 rows, 250 of 500,000. Values of any spread: twice as much. Memory
beside the results: 12 bytes a row for the order, 12 while it is made, 8 for each column of a pass,
8 for each word of a row in it that is no result.

An entry takes what its table asks for and returns 0; the words stand in `layout`. In Python:

    requests   what is asked for: windows, columns, statistics
    state      `ordered` puts rows in the order of windows, `over` computes statistics
"""
