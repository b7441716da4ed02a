"""Features of an entity's own past: statistics over windows of its rows, ordered in time.

`asof` builds on it; `engine.cpu` and `steps` import it.

Spec: every row has the number of its entity, int32 in [0, n_entities), a time, int64, and values.
A row whose number is negative or whose time is missing is in no window, and every value of it is
missing. The rows of an entity are ordered by time, then by a further column if there is one
(missing before all others, -0.0 as 0.0), then as they came in.

The window of a row at t has the rows of its entity with t + low <= time <= t + high; the sums are
those of integers without bounds, and a bound may be left out. With `own` it ends with the row
itself instead: the rows before it in order, and itself. Of these the `rows` latest are kept. Both
ends of windows only move forward along an entity. The rows that ask may be others than those that
are seen, of the same entities; no window ends with them. What is found over a window says the
definition of each row in `statistics`.

Infinities are counted apart, as in `moments`; a slope with one is missing. Of fewer than
`min_samples` values all but n_rows and count are missing. A value depends on the rows in the window
alone, to the bit: sums are differences of exact integers, never of floats, and nothing depends on
chunks or threads.

Rows are dealt out, a stripe of the input at a time, to partitions of neighbouring entities, a few
thousand rows each, and what follows stays in the cache: within a partition entities are taken
together until they have 2,048 rows, and 256 rows at a time get their results. Entities of more than
131,072 rows are cut into slices with what their windows reach; where a window has no beginning, of
these only those of more than a sixteenth of all rows (`slices`). Where windows begin or end one row
after the other, as at even times, that is checked for 64 rows at once; else each end is searched
for from that of the row before. Counts and sums are differences of what stands before two places,
so a window costs the same whatever its length: sums of few bits, as of counts and flags, in
float64, others as integers of 80 bits on a grid that holds the values of a batch (`prefixes`);
where they are not on it, those of an entity get as many bits as they need (`wide`). Least and
greatest values are those of two runs of 2**k rows, in larger batches of a suffix and a prefix
(`extremes`), order statistics come from trees over the ranks of an entity's values (`ranks`),
averages with weights, slopes, skewness and kurtosis from what takes values in as windows move on
(`averages`, `slopes`, `shapes`).

Up to 16 results of a row, with the word of bits that says which are there, are one pass. They wait
as a row, half a line of the cache, one or two, where the columns of the next stripe will stand,
until they are turned into columns in input order; so they take no memory beside these (`results`).
Where the input has the rows of each entity together and in order, they are written to columns at
once (`direct`).

Cost of a transform of 10 million rows of 100,000 entities in order of time, on two threads: 0.4 s
for 16 results (count, sum, mean and greatest over 1 hour, 24 hours and 7 days, a mean of 3 rows, a
lag, a difference, the time since), as `python -m bench --only windows_100k` measures it; `--only
hard_windows` has lengths, orders and spreads of values side by side.

Memory beside columns of input and results: 4 bytes a row for entities, 12 for their order, 12 more
while it is made; 8 for each column of a pass that is not the time, 1 more for integers that may be
missing; 8 for each of 4, 8 or 16 results of a pass that is not asked for; a stripe of results for
each part of the work. A slice takes 40 to 80 bytes for each row that it has, on each thread: an
entity whose windows reach over a part of its rows takes them for one and a half of these parts.

Where a window has no beginning, the first place of a slice stands for all rows up to itself
(`carries`): of each part of an entity between two such places its own calls find the counts, keys
and sums on a grid that holds all values of the entity, and these are put together. So a slice has
as few rows as for windows that are short. An entity stays whole, on one thread, and takes these
bytes for all of its rows, where a window without a beginning has an order statistic, an average
with weights, a slope, a shape or a streak; where windows have no end; where other rows ask; and
where no grid holds its values. Statistics that keep entities whole have passes of their own.

An entry takes what its table asks for and returns 0; the words stand in `layout`. In Python:

    requests   what is asked for: windows, columns, statistics
    state      `ordered` puts rows in the order of windows, `over` computes statistics
    reference  the same over lists, by the definition
    cuda       text and words of the kernels of a device

On a device rows are sorted by stable passes over 8 bits, where they do not stand in order already;
scans give what stands before each place; both ends of each window are searched for. Sums are
differences of integers of 128 bits, those of squares of 256, in units of the lowest bit of their
entity: the caller computes columns that reach further elsewhere. Least values come from a tree of
eights. quantile, n_unique, mode, rank, percentile, averages with weights, slope, streak, skew and
kurtosis have no kernel there. Memory: 37 bytes a row while rows are sorted, then 16 for the order
and 8 a window; for each column at a time 20, with sums 24 more, with variances 32 more, with
extremes 9 for either.
"""
