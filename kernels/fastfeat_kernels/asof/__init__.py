"""As-of joins: the latest row of a table, of the key of each row, that was known at its moment.

Spec: a row of the data has the number of its key, int32 in [0, n_keys) or negative for none, and a
time, int64, which may be missing. So has a row of the table. Both times are in ticks of their own,
each a whole number of nanoseconds, and the longer of the two a multiple of the shorter (of whole
numbers both are 1). A row of the table is known from its time + `delay` on; with `exact` at that
very moment too. Of the rows of its key that are known, a row of the data finds the latest, of equal
times the last one of the table, unless that is more than `tolerance` older than it. A row without a
key or a time finds none, and is found by none. Moments are compared as integers without bounds.

The rows of the table are put in order by `windows.ordering`: by key, time, and as they came in. 128
rows of the data at a time are then searched for together, each in the run of its key: every row
takes a step before any takes the next, so that the lines of the cache it needs are on their way
while the others step. A step halves the run; the last eight times are compared at once. Rows of one
key whose times do not fall walk on from where the row before is instead.

Cost on one core of a Zen 5: see `bench`; memory beside the result: 20 bytes a row of the table, and
4 a row of the data for the numbers of its keys.

An entry takes what its table asks for and returns 0; the words stand in `layout`. In Python:

    state      `in_order` puts the rows of a table in order, `find` finds rows in it
    reference  the same over lists, by the definition
"""
