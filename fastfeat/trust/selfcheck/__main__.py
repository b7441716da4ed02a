"""`python -m fastfeat.trust.selfcheck`: compute and write new golden digests.

The CPU backend computes them. Use it after a deliberate change of features. The diff of
`golden.json` and `golden_past.json` then shows which features changed.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from fastfeat.errors import FastfeatWarning
from fastfeat.trust.selfcheck.digests import (
    FILE,
    FILE_OF_PAST,
    DigestsByPlan,
    digests_of,
    digests_of_live,
    digests_of_past,
    golden_text,
)
from fastfeat.trust.selfcheck.past_plans import live_plan, past_plans
from fastfeat.trust.selfcheck.plans import contract_plans
from fastfeat.trust.selfcheck.tables import check_table, past_tables, training_table


def main() -> None:
    """Compute the digests, and write `golden.json` and `golden_past.json`."""
    warnings.simplefilter("ignore", FastfeatWarning)
    train, rows = training_table(), check_table()
    digests: DigestsByPlan = {}
    for name, plan in contract_plans().items():
        fitted = plan.fit(train)
        digests[name] = digests_of(fitted, fitted.transform(rows))
    _write(FILE, digests)
    past = past_tables()
    of_past = {name: digests_of_past(plan, past) for name, plan in past_plans().items()}
    _write(FILE_OF_PAST, {**of_past, "live": digests_of_live(live_plan(), past)})


def _write(file: str, digests: DigestsByPlan) -> None:
    path = Path(__file__).with_name(file)
    path.write_text(golden_text(digests), "utf-8")
    print(f"{path}: {sum(map(len, digests.values())):,} digests")


if __name__ == "__main__":
    main()
