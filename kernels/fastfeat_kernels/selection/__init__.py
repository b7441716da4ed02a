"""Exact order statistics of a column: the k-th smallest of its values, for any set of ranks k.

`aggregates` and `engine` import it.

Spec: missing values (a cleared bit of the bitmap; of floats also NaN) are skipped; infinities take
part. The order of floats is total, -0.0 below 0.0. An entry does one of three rounds on rows
[first, first + n) of one chunk and returns 0: it takes a sample of keys, counts keys in the buckets
of a map, or collects the keys of wanted buckets. The words of its table stand in `layout`;
`state.select` runs the rounds over chunks and threads. The map is learnt from the sample, but only
the time depends on it, not the result. Time is two passes over the column, memory the keys of the
wanted buckets, at most 8 bytes a row.
"""
