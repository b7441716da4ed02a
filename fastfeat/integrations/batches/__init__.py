"""Batches of rows for a training loop, independent of the library that trains.

`epochs` computes the order of an epoch; `pieces` reads data again in each epoch; `columns` takes
label and kept columns from it; `blocks` builds the content of a batch; `streams` yields the batches
of one worker; `options` checks the user's arguments. Only integrations import these modules.
"""
