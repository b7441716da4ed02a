"""The distinct keys of a column with exact counts, and the place of each value among known keys.

`engine.cpu` and `steps.keys` import it.

Spec: a key is an int64, or bytes. Numbers of every type become int64 by `column.key_of`, so that
the order of keys is the order of values; -0.0 has the key of 0.0. Text and bytes are compared as
bytes; UTF-8 is not checked. Missing values (a cleared bit of the bitmap; for floats also NaN) are
counted separately and are never keys; infinities are keys.

A table of text uses open addressing with linear probing, at most half full. A table of numbers has
lines of five keys, on average at most 2.5 in each, and compares the keys of a line all at once. The
caller owns the memory. A learning entry takes rows [first, first + n) of a chunk until the table is
full. It then reports that in its state, and takes no further row until the caller has given a
larger table. So no key is ever dropped. Rows go in batches: hash a batch, prefetch the cache lines
of its slots some rows ahead, then probe. Numbers of a narrow range need no table: `spans` counts
and finds them by their distance from the smallest. `layout` lists the words of an entry's table, of
its state and of a slot; `state` has the interface, and `growing` the interface for rows that come
in several calls. Entries return 0.
"""
