"""Keys: codes in vocabularies, hashes, and aggregates of groups. Other subjects read keys by it."""
