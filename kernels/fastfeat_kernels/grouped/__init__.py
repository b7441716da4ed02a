"""Count, exact sum, exact sum of squares, least and greatest value of every group of rows.

Spec: rows come as a column and, beside it, the number of the group of each row, int32 in
[0, n_groups); a negative one is in no group, and the row is skipped. Within its group a row counts
as in `moments`: a missing value is counted and otherwise skipped, an infinity is counted by its
sign and adds nothing to the sums, floats have a total order with -0.0 below 0.0, sums are exact.
Nothing depends on the order of rows, on chunks, threads, or the order of merging.

A group is one line of 64-bit words: its count, its sum in 3 limbs of 40 bits, its sum of squares in
4. The limbs of floats lie in a window below 2**exponent, one for the whole column, learnt by a look
at it. A float that the window cannot hold, or whose square it cannot hold, is left over: the kernel
appends it to a list, and `wide` adds up the list, in Python integers in the end. The window decides
about time only, not about the result.

An entry takes rows [first, first + n) of one chunk and returns 0; the words of its table stand in
`layout`. `state.summarize` runs it over chunks and threads, `finalize` reads floats out, rounded
where the definition has a rounding, and `order` has what depends on the order of values: quantiles,
modes, the number of different values.
"""
