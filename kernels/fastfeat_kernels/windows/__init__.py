"""Features of an entity's own past: statistics over windows of its rows, ordered in time.

`asof` builds on it; `engine.cpu` and `steps` import it.

Spec: each row has an entity number, int32 in [0, n_entities), a time, int64, and values. A row with
a negative number or a missing time is in no window, and all its results are missing. The rows of an
entity are ordered by time, then by an optional tie column (missing first, -0.0 equal to 0.0), then
by input order.

The window of a row at time t holds the rows of its entity with t + low <= time <= t + high. The
additions never overflow, and either bound may be omitted. With `own`, the window ends with the row
itself instead: it holds the preceding rows, in order, and the row. If `rows` is set, only that many
of the latest rows are kept. Both ends of a window only move forward along an entity. The rows that
ask for results ("asking rows") may differ from the rows in the windows; they have the same
entities, and then no window ends with the asking row. `statistics` defines each statistic.

Infinities are counted separately, like in `moments`; a slope over an infinity is missing. With
fewer than `min_samples` values, all statistics except n_rows and count are missing. A result
depends only on the rows in the window, to the bit: sums are differences of exact integers, never of
floats, and chunks and threads change nothing.

Rows are distributed, one stripe of the input at a time, to partitions of neighbouring entities with
a few thousand rows each, so that later steps stay in the cache. Within a partition, entities are
batched until they have 2,048 rows, and results are computed for 256 rows at a time. Entities of
more than 131,072 rows are cut into slices, each with the rows that its windows reach. If a window
has no beginning, only entities with more than a sixteenth of all rows are cut (`slices`). If
windows begin or end one row after the other, for example at evenly spaced times, one check covers
64 rows; otherwise each end is searched for from that of the previous row. Counts and sums are
differences of prefix values, so the cost of a window does not depend on its length. Sums of few
bits, for example of counts and flags, are float64; others are 80-bit integers on a grid that holds
the values of a batch (`prefixes`). If no such grid exists, the sums of an entity get as many bits
as they need (`wide`). Minima and maxima combine two runs of 2**k rows or, in larger batches, a
suffix and a prefix (`extremes`). Order statistics come from trees over the ranks of an entity's
values (`ranks`). Weighted averages, slopes, skewness and kurtosis come from accumulators that
windows update as they move (`averages`, `slopes`, `shapes`).

One pass computes up to 16 words a row: results, and a word of bits that marks which are present.
They wait as a row of half a cache line, one or two lines, in the memory where the columns of the
next stripe will be, until they are turned into columns in input order. So they take no memory
beyond the columns (`results`). If the input has the rows of each entity together and in order,
results are written to columns at once (`direct`).

Cost of a transform of 10 million rows of 100,000 entities in order of time, on two threads: 0.4 s
for 16 results (count, sum, mean and maximum over 1 hour, 24 hours and 7 days, a mean of 3 rows, a
lag, a difference, the time since the last row), measured by
`python -m bench --only windows_100k`; `--only hard_windows` compares lengths, orders and spreads of
values.

Memory beyond the columns of input and results, in bytes per row: 4 for entities and 12 for their
order, plus 12 while the order is made; 8 for each column of a pass except the time, plus 1 for
integers that may be missing; 8 for each unused result of a pass of 4, 8 or 16; and one stripe of
results for each part of the work. A slice takes 40 to 80 bytes per row on each thread. For an
entity whose windows reach over a part of its rows, this applies to one and a half such parts.

If a window has no beginning, the first place of a slice stands for all rows up to that place
(`carries`). Calls for each part of an entity between two such places find its counts, keys and sums
on a grid that holds all values of the entity, and the parts are then combined. So a slice has as
few rows as with short windows. An entity stays whole, on one thread, and takes these bytes for all
its rows in four cases: a window without a beginning has an order statistic, a weighted average, a
slope, a shape or a streak; windows have no end; the asking rows are other rows; or no grid holds
the values. Statistics that keep entities whole have passes of their own.

An entry (compiled function) computes the request in its table and returns 0; `layout` lists the
words of the table. In Python:

    requests   requests: windows, columns, statistics
    state      `ordered` sorts rows for windows, `over` computes statistics
    reference  the same results over lists, by the definition
    cuda       source text and table words of the kernels of a device

On a device, rows that are not yet in order are sorted by stable passes over 8 bits; scans give the
prefix values; both ends of each window are searched for. Sums are differences of 128-bit integers,
and sums of squares of 256-bit integers, in units of the lowest bit in their entity. Columns that
reach further must be computed elsewhere. Minima come from a tree of fan-out eight. quantile,
n_unique, mode, rank, percentile, weighted averages, slope, streak, skew and kurtosis have no device
kernel. Memory in bytes per row: 37 while rows are sorted, then 16 for the order and 8 per window;
for one column at a time 20, plus 24 for sums, 32 for variances, and 9 each for minimum and maximum.
"""
