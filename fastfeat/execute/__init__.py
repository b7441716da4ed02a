"""Running plans: user data passes through the tasks of a fitted plan and becomes features.

Terms of this package. A step is an operation over whole columns, such as encoding a key. The
functions of other rows are window functions and functions over later rows. An order is an
expression with a time column and entity keys by which those functions sort rows. The rows that a
window sees are the history followed by the rows of the call. A place is a position in a table. A
share is one hash partition of the rows, and a piece is a chunk of rows read at a time.
"""
