"""Functions of columns of text: lengths, case, pieces, literals, numbers, hashed n-grams.

Spec: a row is bytes; a missing row is missing in every result. Functions of bytes take any bytes,
such as `len_bytes`, `find_literal` and `to_float`. Functions of characters need UTF-8, strictly,
without surrogates, such as `len_chars`, `to_lowercase` and `hash_ngrams`; the first row that is not
UTF-8 is an error. Which is which its row of `requests` says. A character is a code point; case
mappings are the simple ones, code point for code point ("ß" has no upper case), and white space is
the property White_Space, of the version of Unicode that `unicode_table` names. A row of `requests`
says what a function means and what it asks of the kernels, those of the CPU and of a device alike.

An entry does one of these on rows [first, first + n) of one chunk and returns 0; the words of its
table stand in `layout`. Text that is a result is measured first, so that every call knows where it
writes, and then written; but case mapping first tries to write each row where it stood.
"""
