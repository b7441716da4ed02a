"""Batches of rows for a training loop, without the library that trains, in this order.

`epochs` is the order of an epoch, as arithmetic; `pieces` data that is read again in each epoch;
`columns` what a batch takes from it as it is; `blocks` all that a batch holds; `streams` the
batches of one worker; `options` what a user gives. Integrations alone import them.
"""
