"""Keys: codes in vocabularies, hashes, and aggregates of groups.

Other subjects of `steps` read their keys by it; `backends` and `plan` import it.
"""
