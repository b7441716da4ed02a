"""Keys: their codes in vocabularies, their hashes, and aggregates of groups of rows.

A key is the value, or the tuple of values, that identifies a group or category. Each column that it
is made of is a part. A vocabulary is the list of distinct keys that fit saw; a code is the number
of a key in it. Steps of other subjects read keys with these functions.
"""
