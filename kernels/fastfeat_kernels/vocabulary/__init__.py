"""The distinct keys of a column with exact counts, and the place of each value among known keys.

`engine.cpu` and `steps.keys` import it.

Spec: a key is an int64, or bytes. Numbers of every type become int64 as `column.key_of` says, so
that the order of keys is the order of values; -0.0 is the key of 0.0. Text and bytes are compared
as bytes, UTF-8 is not checked. Missing values (a cleared bit of the bitmap; of floats also NaN) are
counted apart and never are keys; infinities are.

A table of text is open addressing with linear probing, at most half full; one of numbers has lines
of five keys, 2.5 in each at most on average, which are compared all at once. Memory is the
caller's. A learning entry takes rows [first, first + n) of a chunk until the table is full: it then
says so in its state, and takes no further row until the caller has given a larger one. So nothing
is ever cut off. Rows go in batches: hash a batch, ask for the cache lines of its slots some rows
ahead, then probe. Numbers of a narrow range need no table: `spans` counts and finds them by their
distance from the least. The words of the table of an entry, of its state and of a slot stand in
`layout`; `state` has the interface, and `growing` that of rows that come in several calls. Entries
return 0.
"""
