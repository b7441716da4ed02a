"""`verify`: the promise checked on the rows of a user, by every path there is.

Imports `plan` and `online`; the API imports it.
"""
