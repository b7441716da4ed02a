"""A plan as data, from what a user declares to rows of features, one folder a floor.

From the bottom: `declare`, `lower`, `run`; on these `fit` and `keep`, and on all of them `tell`.
`api`, `verify` and `online` import them; nothing below `plan` does.
"""
