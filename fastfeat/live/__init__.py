"""Fitted plans that are asked row by row, over a state that holds the rows that windows still see.

*The state is the history*: a log of rows in order of arrival, exactly what `transform(history=)`
takes; all else is an index of it that can be made again. A call of `Live` is read as a `Change`,
which `State` applies in memory and `Journal` writes to disk; `lower` says what some plans ask of
one log, `ask` computes features of rows with what they see.
"""
