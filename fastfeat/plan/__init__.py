"""A plan as data: what a user declares, and the schedule that it is lowered to.

`execute` runs schedules, `learn` fits plans, `keep` saves them and `tell` explains them.
"""
