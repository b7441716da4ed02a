"""As-of joins: the latest row of a table, of the key of each row, that was known at its moment.

`steps.tables` imports it.

Spec: a row of the data has the number of its key, int32 in [0, n_keys) or negative for none, and a
time, int64, which may be missing. So has a row of the table. Both times are in ticks of their own,
each a whole number of nanoseconds, and the longer of the two a multiple of the shorter (of whole
numbers both are 1). A row of the table is known from its time + `delay` on; with `exact` at that
very moment too. Of the rows of its key that are known, a row of the data finds the latest, of equal
times the last one of the table, unless that is more than `tolerance` older than it. A row without a
key or a time finds none, and is found by none. Moments are compared as integers without bounds.

The rows of the table are put in order by `windows.ordering`: by key, time, and as they came in;
those of one key that stand in order stay as they are. Over the times stands a tree: the last of
each 8 of them, the last of each 8 of those, and so on. A run of one key is searched from the lowest
level on which it has two words at most; further down the 8 words below a word, a line of the cache,
are compared at once, those of other runs not counted. Of 128 rows of the data every one takes a
level before any takes the next, so that the lines they need are on their way meanwhile.

Whether rows come in order of time is seen 128 at a time (`walking`). Of rows of one key whose times
do not fall the first is looked for from where the rows before have ended. If there are few times up
to the last of them, each of these is compared with every 16th of the rows, then with 16 of them:
the rows up to there have found the row before it. If there are more, the rows are searched for
between both ends. Where times fall and the rows are within 256 places of the row before, the tree
is searched among these; where one is not, the next 15 times nobody looks.

Cost of a join of 2 columns of 1 million rows to 10 million, on two threads, as `python -m bench
--only asof` measures it: with 100,000 keys 0.14 s in any order and 0.12 s in order of time, without
0.14 s and 0.02 s. Memory beside the result: 13 bytes a row of the table, 4 a key, and 4 a row of
the data for the numbers of its keys.

An entry takes what its table asks for and returns 0; the words stand in `layout`. In Python:

    state      `in_order` puts the rows of a table in order, `as_given` takes them as they stand,
               `find` finds rows in it
    reference  the same over lists, by the definition
    cuda       text and words of the kernel of a device

On a device the rows of the table are put in order by the kernels of `windows`; a thread searches
for each row of the data among the times of its key.
"""
