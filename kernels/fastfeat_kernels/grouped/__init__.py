"""Statistics of every group of rows: count, exact sums, least and greatest value, and by order.

`powers` and `windows` build on it; `engine.cpu` and `steps` import it.

Spec: rows come as a column and, beside it, the number of the group of each row, int32 in
[0, n_groups); a negative one is in no group, and the row is skipped. Within its group a row counts
as in `moments`: a missing value is counted and otherwise skipped, an infinity is counted by its
sign and adds nothing to the sums, floats have a total order with -0.0 below 0.0, sums are exact.
Nothing depends on the order of rows, on chunks, threads, or the order of merging.

A group is one line of 64-bit words: its count, its sum in 3 limbs of 40 bits, its sum of squares in
4. The limbs of floats lie in a window below 2**exponent, one for the whole column, learnt by a look
at some of its blocks. A float that the window cannot hold, or whose square it cannot, is left over:
it is appended to a list, which becomes integers of any width for the few groups in it; of many such
floats, all groups have lines in a further window. Windows decide about time only, not about the
result. Where the lines of all groups are too many for the cache, rows are first sorted into
partitions of neighbouring groups.

An entry takes rows, or groups, [first, first + n) and returns 0; the words of its table stand in
`layout`. In Python:

    summarize   GroupedMoments of a column; a table of groups that rows are added to
    growing     such a table: its window, the room in it, its memory
    joining     two tables as one, in the memory of one of them
    calls       what both run
    state       merged, subtracted, added over folds, taken by number, as `Moments` of one group
    finalize    sums, means, variances, deviations, least and greatest values, each rounded once
    statistics  the same of many groups, where nobody merges: in less time and memory
    order       quantiles, modes, numbers of different values
    interleaving  values of groups side by side
    cuda        the moments on a device: lines that atomic additions of integers add to
    ranks       values by rank on a device

Cost on one core that others load too: 4 ns a row for count, sum and squares at 100 groups, 11 at
100,000; 12 ns a group for mean and deviation (Zen 4). Memory: a line of 64 bytes a group, and 16
for its extremes; with partitions 12 bytes a row.
"""
