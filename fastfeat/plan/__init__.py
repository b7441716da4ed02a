"""A plan as data: what a user declares, and the schedule of tasks that it is lowered to.

Terms. A node is one operation, column or literal of an expression; the tree of nodes below a root
is an expression. A late column is known only after the moment of its row, such as the label. A row
ahead is a later row of the same entity. A clock is a time column, or an expression of one, by which
rows are ordered. To lower is to translate nodes to tasks and to primitive operations of kernels. A
pass is either a pass over the training rows, called a round in schedules, or a rewrite of a
schedule (`plan.lower.passes`).

`execute` runs schedules, `learn` fits plans, `keep` saves them and `tell` explains them.
"""
