"""Data quality: contracts, profiles, drift, and comparison of fitted plans.

Contracts: `contract` is the public class, `infer` derives one from rows. `checking` counts how many
of the `rows` break each rule, and `report` is the result. `contract_in_fit` checks training rows,
`contract_in_transform` later rows, and `quarantine` separates good rows from bad.

Profiles: `profile` has the classes. `layout` takes bin edges and categories from a sample,
`counting` counts one column, `table_profiles` all columns of a plan. `profiling` profiles training
rows in memory, `profiling_in_passes` rows read in passes, `profiling_in_rounds` rows spread over
machines; these use the states in `profile_state` and choose their sample by `content_hashes`.
`later_rows` profiles rows after training. `distribution` draws a profile.

Drift: `distances` are functions of counts, `column_brackets` computes them for columns,
`column_drift` judges one column, `seasons` decides which columns are judged. `drift` has the class
for the drift of a plan, `row_drift` counts the rows for it. `thresholds` holds the limits of all
gates, which are checks that pass or fail.

`changes` compares fitted plans, `golden` generates test rows that artifacts keep, `inspection`
lists the parts of an artifact, `rounding` measures the cost of smaller floats, `html` renders
drift, checks and changes.

`live`, `report`, `api` and the layers above import this folder; it imports `plan` and below.
"""
