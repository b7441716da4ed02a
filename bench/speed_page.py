"""`python -m bench.speed_page`: write the table of docs/speed.md from the committed results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import results, units
from bench.markdown import table
from bench.results import Entry, Results
from bench.workloads import WORKLOADS

PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
BEGIN, END = "<!-- benchmark:", "<!-- benchmark: end -->"
PICTURE = "![How many times faster than other libraries](../bench/results/results.svg)"


def main() -> None:
    """Write the section."""
    PAGE.write_text(refreshed(PAGE.read_text(), results.load(results.FOLDER)))


def refreshed(text: str, found: Results) -> str:
    """Return the page's text with its section written from results; unchanged if it has none."""
    if not found["workloads"]:
        return text
    begin = text.index("\n", text.index(BEGIN)) + 1
    return text[:begin] + section(found) + text[text.index(END) :]


def section(found: Results) -> str:
    """Return the work where a peer is faster, the picture, the table, and the machine."""
    entries = [
        entry
        for entry in found["workloads"].values()
        if entry["group"] not in results.SWEEPS and results.failed(entry) is None
    ]
    head = ("", "rows", "fastfeat", "best peer", "faster", "than pandas")
    rows = [row for entry in entries for row in _rows(entry)]
    parts = [_losses(entries), PICTURE, table(head, rows).rstrip("\n"), _where(entries)]
    return "\n" + "\n\n".join(parts) + "\n\n"


def _losses(entries: list[Entry]) -> str:
    """Return the work that a peer does faster, with causes, or a sentence that there is none."""
    causes = {workload.name: workload.cause for workload in WORKLOADS}
    rows = [
        [*_figures(entry, best), causes.get(entry["name"]) or "not known yet"]
        for entry in entries
        if (best := _rival(entry)) is not None and results.ratio(entry, best) < 1
    ]
    if not rows:
        return "Nothing here is slower than its best peer."
    head = ("slower than its best peer", "rows", "fastfeat", "best peer", "faster", "cause")
    return table(head, rows).rstrip("\n")


def _rows(entry: Entry) -> Iterator[list[str]]:
    """Yield one row for fastfeat's plain way, if it has a peer."""
    best, theirs = _rival(entry), results.peers(entry).get("pandas")
    if best is not None:
        than_pandas = "–" if theirs is None else units.times(results.ratio(entry, theirs))
        yield [*_figures(entry, best), than_pandas]


def _rival(entry: Entry) -> str | None:
    """Return the fastest peer; None without one, or without a result of ours."""
    return results.best_peer(entry) if "fastfeat" in entry["contenders"] else None


def _figures(entry: Entry, best: str) -> list[str]:
    return [
        entry["title"],
        f"{entry['rows']:,}",
        _seconds(entry, "fastfeat"),
        f"{_seconds(entry, best)} ({best})",
        f"**{units.times(results.ratio(entry, best))}**",
    ]


def _seconds(entry: Entry, contender: str) -> str:
    """Return the wall seconds, and beside them the CPU seconds if measured."""
    text, cpu = units.seconds(results.median(entry, contender)), results.cpu(entry, contender)
    return text if cpu is None else f"{text}, CPU {units.seconds(cpu)}"


def _where(entries: list[Entry]) -> str:
    """Return the machine and the versions of the entries."""
    machines = [entry["machine"] for entry in entries]
    cpus = ", ".join(sorted({machine["cpu"] for machine in machines}))
    threads = ", ".join(sorted({str(entry["threads"]) for entry in entries}))
    versions = {f"{n} {v}" for machine in machines for n, v in machine["versions"].items()}
    return (
        f"Medians on {cpus}, {threads} threads for each library; {', '.join(sorted(versions))}. "
        "Every contender, the spread, memory and compile times stand in "
        "[bench/results/results.md](../bench/results/results.md)."
    )


if __name__ == "__main__":
    main()
