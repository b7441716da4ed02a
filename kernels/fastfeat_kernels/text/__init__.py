"""Functions of columns of text: lengths, case, pieces, literals, numbers, hashed n-grams.

`steps` import it.

Spec: a row is bytes; a missing row is missing in every result. Functions of bytes accept any bytes,
for example `len_bytes`, `find_literal` and `to_float`. Functions of characters require strict UTF-8
without surrogates, for example `len_chars`, `to_lowercase` and `hash_ngrams`; the first row that is
not UTF-8 is an error. The function's row in `requests` says which kind it is. A character is a code
point; case mappings are the simple ones, code point for code point ("ß" has no upper case), and
white space is the property White_Space, of the version of Unicode that `unicode_table` names. A row
of `requests` defines a function and its requests to the kernels, for the CPU and for a device.

An entry does one of these on rows [first, first + n) of one chunk and returns 0; the words of its
table follow. Text results are measured first, so that every call knows its place in the output, and
then written. Case mapping is different: it first tries to write each row at its old place.
"""

from __future__ import annotations

from typing import Final

from fastfeat_kernels.column import BLOCK

# The column, and a scratch of N_SCRATCH_WORDS.
TABLE_OFFSETS: Final = 0
TABLE_OFFSET_BYTES: Final = 1
TABLE_DATA: Final = 2
TABLE_VALIDITY: Final = 3
TABLE_BIT_OFFSET: Final = 4
TABLE_SCRATCH: Final = 5
# Outputs: their row for row 0 of the chunk; values, or a bitmap, or offsets and bytes.
TABLE_OUT_ROW: Final = 6
TABLE_OUT: Final = 7
TABLE_OUT_OFFSET_BYTES: Final = 8
TABLE_OUT_DATA: Final = 9  # for hashed pieces: each row's place for its next bucket, else counts
TABLE_OUT_START: Final = 10  # start of the text of the call's first row, in bytes
TABLE_OUT_END: Final = 11  # end of the text of its last row
TABLE_STATUS: Final = 12  # for each parsed row, uint8
# Reports of an entry: the first row of the chunk that is not UTF-8, or -1; and a number.
TABLE_FAILED: Final = 13
TABLE_FOUND: Final = 14
# Arguments of the function.
TABLE_PASS: Final = 15
TABLE_FUNCTION: Final = 16
TABLE_PATTERN: Final = 17
TABLE_PATTERN_BYTES: Final = 18
TABLE_OFFSET: Final = 19
TABLE_LENGTH: Final = 20
TABLE_BASE: Final = 21
TABLE_PAGES: Final = 22  # of code points: see `tables.CodePointTable`
TABLE_CELLS: Final = 23
TABLE_POWERS: Final = 24
TABLE_N_BUCKETS: Final = 25
TABLE_SEED: Final = 26
TABLE_VALUE: Final = 27  # for a literal: its replacement
TABLE_VALUE_BYTES: Final = 28
TABLE_MOST_BYTES: Final = 29  # that text with replacements may have, checked before it is written
N_TABLE_WORDS: Final = 30

# The table of the entry "by_bucket": counts by row, int32; their target, one bucket after the
# other; number of buckets; rows that the memory of a bucket has room for.
BY_BUCKET_COUNTS: Final = 0
BY_BUCKET_OUT: Final = 1
BY_BUCKET_N: Final = 2
BY_BUCKET_ROWS: Final = 3

# The table of the entries "present" and "same": output bits for rows, whole words; for "same" the
# bits of rows with both texts; and for each column, `SIDE_WORDS` apart, its offsets and their
# width, its bytes, its bits and the first of them.
SAME_OUT: Final = 0
SAME_VALIDITY_OUT: Final = 1
SIDES: Final = 2
SIDE_OFFSETS, SIDE_OFFSET_BYTES, SIDE_DATA, SIDE_VALIDITY, SIDE_BIT = range(5)
SIDE_WORDS: Final = 5

# Passes of a function with text results. IN_PLACE writes as long as every row keeps its length.
MEASURE: Final = 0
WRITE: Final = 1
IN_PLACE: Final = 2

# Functions that share an entry.
STARTS_WITH: Final = 0
ENDS_WITH: Final = 1
CONTAINS: Final = 2
LOWERCASE: Final = 0
UPPERCASE: Final = 1
SLICE: Final = 0
STRIP_START: Final = 1
STRIP_END: Final = 2
STRIP: Final = 3  # both ends

# Status of a parsed row.
PARSED: Final = 0
NOT_PARSEABLE: Final = 1
OUT_OF_RANGE: Final = 2
IS_NAN: Final = 3
UNDECIDED: Final = 4

N_SCRATCH_WORDS: Final = 3 * BLOCK + 64
NO_LENGTH: Final = 2**61  # for a slice to the end
