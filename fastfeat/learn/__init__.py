"""Fitting: prepare, scan and learn from training rows; folds, purging, cross-fitting.

Terms of this package. A constant is a learned value: an aggregate such as a mean, a vocabulary of
keys, or a value per group. To learn in passes, rows come in parts (chunks, perhaps on several
machines). Each part yields a state, states of all parts merge, and one pass over all rows with the
learning that it allows is a round. A twin is a row that equals another in all columns. "Functions
of other rows" are window functions and functions over later rows. "told" holds warnings given so
far, or a text for messages.
"""
