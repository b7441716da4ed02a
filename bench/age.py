"""`python -m bench.age`: print how old the committed figures are, in commits and changed lines.

Speed is not tested. This tells a reader of CI when a page describes older code.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench import results

ROOT = Path(__file__).parents[1]
MEASURED = ("fastfeat", "kernels")
_CHANGED = re.compile(r"(\d+) (?:insertion|deletion)")


def told(folder: Path = ROOT) -> Iterator[str]:
    """Yield a line for each commit that figures were measured at, in the repository's folder."""
    by_commit: dict[str, int] = {}
    for entry in results.load(results.FOLDER)["workloads"].values():
        revision = entry.get("machine", {}).get("revision") or "a commit that was not noted"
        by_commit[revision] = by_commit.get(revision, 0) + 1
    for revision, n in sorted(by_commit.items(), key=lambda item: -item[1]):
        since = _since(revision.rstrip("+"), folder)
        yield f"{n} workloads of docs/speed.md were measured at {revision}: {since}"


def _since(commit: str, folder: Path) -> str:
    try:
        n_commits = _git(folder, "rev-list", "--count", f"{commit}..HEAD", "--", *MEASURED)
        changed = _git(folder, "diff", "--shortstat", commit, "HEAD", "--", *MEASURED)
    except (OSError, subprocess.CalledProcessError):
        return "how much has changed since then is not known"
    lines = sum(int(found[1]) for found in _CHANGED.finditer(changed))
    return f"{int(n_commits):,} commits and {lines:,} changed lines ago"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    print(*told(), sep="\n")
