"""`verify`: the promise checked on the rows of a user, by every path there is."""
