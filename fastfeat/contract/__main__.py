"""`python -m fastfeat.contract`: write the golden digests anew, by the CPU backend.

For those who change what a feature is. A diff of `golden.json` shows which features changed.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from fastfeat.contract.digests import Digests, digests_of, golden_text
from fastfeat.contract.plans import contract_plans
from fastfeat.contract.tables import check_table, training_table
from fastfeat.errors import FastfeatWarning


def main() -> None:
    """Write the file."""
    warnings.simplefilter("ignore", FastfeatWarning)
    train, rows = training_table(), check_table()
    digests: Digests = {}
    for name, plan in contract_plans().items():
        fitted = plan.fit(train)
        digests[name] = digests_of(fitted, fitted.transform(rows))
    path = Path(__file__).with_name("golden.json")
    path.write_text(golden_text(digests), "utf-8")
    print(f"{path}: {sum(map(len, digests.values())):,} digests")


if __name__ == "__main__":
    main()
