"""Dagster: the features of new rows as an asset, and a check that nothing has drifted."""

import dagster as dg

import fastfeat as ff

PLAN = "flights.fastfeat"  # fitted with profile=True
ROWS = "rows.parquet"
OUT = "features.parquet"


@dg.asset
def features() -> dg.MaterializeResult:
    """Compute the features of all rows, and write them as Parquet."""
    ff.load(PLAN).transform_to(ROWS, OUT)
    return dg.MaterializeResult(metadata={"path": OUT})


@dg.asset_check(asset=features)
def nothing_has_drifted() -> dg.AssetCheckResult:
    """Compare the rows with the training rows."""
    drift = ff.load(PLAN).drift(ROWS)
    return dg.AssetCheckResult(passed=drift.ok, metadata={"summary": drift.summary})


defs = dg.Definitions(assets=[features], asset_checks=[nothing_has_drifted])
