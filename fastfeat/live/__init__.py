"""Fitted plans that answer row by row, over a state of the rows that windows can still see.

*The state is the history*: a log of rows in order of arrival, which is a valid argument for
`transform(history=)`. Everything else is an index that can be rebuilt from the log. A call of
`Live` becomes a `StateChange`, which `LiveState` applies in memory and `Journal` writes to disk.
`lower` merges the columns and windows of several plans into one log; `ask` computes features of
rows.

Terms of these packages. Log: the stored rows. Order: one way to group the rows of the log into
entities (rows with equal keys) and to sort each entity's rows by time. Place: position of a row in
memory. Tick: unit of an order's times. Kept results: results of window functions that other windows
read; the log stores them beside each row. Late row: one that is earlier than the latest row of its
entity. Late column: one that is filled in after the row is answered, such as a label. Base: copy of
a whole state in its file. Entry: a change and its results.
"""
