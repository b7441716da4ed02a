"""Batches of rows for a training loop, independent of the library that trains.

Data is read in pieces, such as row groups of Parquet files. A block is a dict of arrays made from
some rows. A rank is one of several processes that train a model together, each with its own
workers, which read and transform the data.

`epochs` computes the order of rows in an epoch; `pieces` reads data again in each epoch; `columns`
takes label and kept columns from it; `blocks` builds the content of a batch; `streams` yields the
batches of one worker; `options` checks the user's arguments. Only integrations import these
modules.
"""
