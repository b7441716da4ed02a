"""Fitting: prepare, scan and learn from training rows; folds, purging, cross-fitting.

Terms of this package. A constant is a learned value: an aggregate such as a mean, a vocabulary of
keys, or a value per group. To learn in passes, rows come in parts (chunks, perhaps on several
machines). Each part yields a state, and states of all parts merge. One pass over all rows is a
round. The progress record of such a fit, with the values learned so far, is a `LearningRound`
(`learn.round`). A twin is a row that equals another in all columns. "Functions of other rows" are
window functions and functions over later rows. "told" holds warnings given so far, or a text for
messages.
"""
