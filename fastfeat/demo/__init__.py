"""`fastfeat demo`: features of real flights, checked and timed against the same ones in pandas.

It uses only the public API, as a user does. The other demos are in `docs/demos/`.
"""
