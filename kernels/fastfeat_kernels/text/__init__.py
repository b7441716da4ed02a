"""Functions of columns of text: lengths, case, pieces, literals, numbers, hashed n-grams.

Spec: a row is bytes; a missing row is missing in every result. Functions of bytes take any bytes:
`len_bytes`, `starts_with`, `ends_with`, `contains`, `count_matches`, `to_integer`, `to_float`.
The others are functions of characters and need UTF-8, strictly, without surrogates: `len_chars`,
`token_count`, `to_lowercase`, `to_uppercase`, `slice_chars`, `strip_chars` and its two halves,
`ngram_hash_counts`, `token_hash_counts`; the first row that is not UTF-8 is an error. A character
is a code point; case mappings are the simple ones, code point for code point ("ß" has no upper
case), and white space is the property White_Space, of the version of Unicode that `unicode_table`
names. A row of `requests` says what a function means and what it asks of the kernels, those of the
CPU and those of a device alike.

An entry does one of these on rows [first, first + n) of one chunk and returns 0; the words of its
table stand in `layout`. Text that is a result is measured first, so that every call knows where it
writes, and then written; but case mapping first tries to write each row where it stood.
"""
