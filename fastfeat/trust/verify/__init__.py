"""`verify`: a check of the promise on a user's rows, by every path that computes features."""
