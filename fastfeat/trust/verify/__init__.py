"""`verify`: a check on a user's rows that all ways to compute features give the same bits."""
