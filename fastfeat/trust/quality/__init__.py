"""Quality: contracts and profiles, what data must be and was; checks, drift, and what changed.

Contracts: `contract` is what users call, `infer` makes one. `checking` counts rules over the `rows`
that there are, and `report` has what came of it; `fitting` checks training rows, `transforming`
later ones, `quarantine` divides them.

Profiles: `profile` is the record. `layout` takes edges and categories from a sample, `counting`
counts a column by them, `table_profiles` the columns of a plan; `profiling` does so for training
rows, `profiling_in_passes` where they are read in passes, `profiling_in_rounds` where several
machines have them, with the states of `profile_state` and `content_hashes` to choose a sample by;
`later_rows` for others. `distribution` says how one is drawn.

Drift: `distances` are functions of counts alone, `column_brackets` gives them those of a column,
`column_drift` judges it, `seasons` says which columns are judged; `drift` is the record of a plan,
`drifting` counts the rows for it. `thresholds` has the limits of all gates.

`changes` compares fitted plans, `golden` makes rows up for artifacts, `inspection` tells what these
hold, `rounding` what smaller floats cost, `html` shows drift, checks and changes.

`live`, `report`, `api` and what stands above import this folder; it imports `plan` and below.
"""
