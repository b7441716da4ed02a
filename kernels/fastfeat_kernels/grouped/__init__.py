"""Statistics of each group of rows: count, exact sums, minimum, maximum, and order statistics.

`powers` and `windows` build on it; `engine.cpu` and `steps` import it.

Spec: rows come as a column and an array of group numbers, int32 in [0, n_groups). A row with a
negative number is in no group and is skipped. Within a group the rules are those of `moments`: a
missing value is counted and otherwise skipped; an infinity is counted by its sign and adds nothing
to the sums; floats have a total order with -0.0 below 0.0; sums are exact. The result does not
depend on the order of rows, on chunks, on threads, or on the order of merging.

A group is one line of 64-bit words: its count, its sum in 3 limbs of 40 bits, and its sum of
squares in 4. The limbs of floats lie in a window below 2**exponent. One window serves the whole
column; its exponent comes from a look at some of the blocks. If the window cannot hold a float or
its square, the float is left over: it is appended to a list. A few such floats become integers of
any width, for the groups in the list; with many such floats, all groups get lines in a further
window. Windows affect time only, not the result. If the lines of all groups are too many for the
cache, rows are first sorted into partitions of neighbouring groups.

An entry (compiled function) takes rows, or groups, [first, first + n) and returns 0; `layout` lists
the words of its table. In Python:

    summarize   GroupedMoments of a column; a table of groups that rows are added to
    growing     such a table: its window, the room in it, its memory
    joining     two tables as one, in the memory of one of them
    calls       the calls that `summarize` and `statistics` share
    state       moments: merge, subtract, add over folds, take by number, `Moments` of one group
    finalize    sums, means, variances, deviations, minima and maxima, each rounded once
    statistics  the same of many groups without merging: in less time and memory
    order       quantiles, modes, numbers of distinct values
    interleaving  values of groups side by side
    cuda        the moments on a device, by atomic additions of integers to lines
    ranks       values by rank on a device

Cost on one core of a loaded machine: 4 ns a row for count, sum and squares at 100 groups, 11 at
100,000; 12 ns a group for mean and deviation (Zen 4). Memory: a line of 64 bytes a group, and 16
for its extremes; with partitions 12 bytes a row.
"""
