"""dbt with DuckDB: save as models/features.py, beside a model named `flights`."""

import fastfeat as ff


def model(dbt, session):
    """Return the features of all rows of `flights`, with the key of each row."""
    dbt.config(materialized="table")
    rows = dbt.ref("flights").arrow()
    fitted = ff.load("flights.fastfeat")
    return fitted.transform(rows)  # keep= of the plan carries the key along
