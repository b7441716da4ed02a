"""Changes between two fitted plans, and how they affect code that reads the features.

`record` is the table of kinds of changes with their verdicts. `declaration_changes`,
`learnt_changes`, `profiles` and `outputs` each find one group of changes, and `compare` combines
them.
"""
