"""`verify`: the promise checked on the rows of a user, by every path there is.

Imports `plan` and `live`; the API imports it.
"""
