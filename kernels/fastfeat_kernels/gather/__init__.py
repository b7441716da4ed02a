"""Values by the number of their row: what a table has in the rows that were found.

`steps.tables` imports it.

Spec: a row of the data has the number of a row of the table, int64, which may be missing, and gets
the value that stands there: of 1, 2, 4 or 8 bytes, as its bits are, or a missing one. Where the
number is missing the value is, and its bytes are 0.

One pass over the numbers, 256 at a time: the lines of the cache that they need are asked for
together, then read. Cost on one core of a Zen 5, busy with other work too: 7 ns a row of random
numbers in 8 MB, 1 ns of ascending ones; no memory beside the result.

The entry takes what its table asks for and returns 0; the words stand in `layout`. In Python:

    state      `gather` returns the values of a column by row
    reference  the same over lists
    cuda       text and words of the kernel of a device, which gives a NaN out as missing
"""
