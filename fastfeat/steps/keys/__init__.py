"""Keys: codes in vocabularies, hashes, and aggregates of groups."""
