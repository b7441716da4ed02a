"""Changes: what differs between two fitted plans, and what that means for those who read them.

`record` has the table of kinds of changes with their verdicts. `declared`, `learnt`, `profiles` and
`outputs` each find those that they are named for, and `compare` puts them together.
"""
