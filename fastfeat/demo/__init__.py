"""The demo: features of real flights, fitted, checked, and timed beside pandas.

It uses only the public API, as a user does. The other demos are in `docs/demos/`.
"""
