"""XXH64 of the values of a column, and of the rows of several columns.

`text` and `vocabulary` build on it; `steps` import it.

Spec: the hash of a value is XXH64, with a seed that is 0 unless given, of its canonical bytes:

    integers, bools, dates, times     8 bytes: the number as int64, little endian, of any width
    uint64                            8 bytes: its 64 bits, so from 2**63 on those of value - 2**64
    floats                            8 bytes: the number as float64, little endian, -0.0 as 0.0
    text, bytes                       its bytes; UTF-8 is not checked

A missing value (a cleared bit of the bitmap; of floats also NaN) has no canonical bytes: the array
holds 0 there. 0 is also the hash of some value, so the validity of the input tells.

The hash of a row of several columns is XXH64 of its parts one after the other, in order. Each part
is a tag byte, the number of canonical bytes as int64 little endian, and the canonical bytes:

    tag 0 missing (length 0, no bytes)   1 integer, bool, date, time   2 float   3 text, bytes

A row always has a hash. An entry hashes rows [first, first + n) and returns 0; the words of its
table stand in `layout`. Cost: "numbers" 16 bytes a row in vectors; "text" and "mixed" a few
nanoseconds a row and 8 bytes a cycle. Source: github.com/Cyan4973/xxHash, doc/xxhash_spec.md.
"""
