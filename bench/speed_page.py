"""`python -m bench.speed_page`: write the table of docs/speed.md from the committed results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import results, units
from bench.markdown import table
from bench.results import Entry, Results

PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
BEGIN, END = "<!-- benchmark:", "<!-- benchmark: end -->"
PICTURE = "![How many times faster than other libraries](../bench/results/results.svg)"


def main() -> None:
    """Write the section."""
    PAGE.write_text(refreshed(PAGE.read_text(), results.load(results.FOLDER)))


def refreshed(text: str, found: Results) -> str:
    """Return the text of the page with its section written from results; as it was without any."""
    if not found["workloads"]:
        return text
    begin = text.index("\n", text.index(BEGIN)) + 1
    return text[:begin] + section(found) + text[text.index(END) :]


def section(found: Results) -> str:
    """Return the picture, the table, and where they were measured."""
    entries = [
        entry
        for entry in found["workloads"].values()
        if entry["group"] not in results.SWEEPS and results.failed(entry) is None
    ]
    head = ("", "rows", "fastfeat", "best peer", "faster", "than pandas")
    rows = [row for entry in entries for row in _rows(entry)]
    return f"\n{PICTURE}\n\n{table(head, rows)}\n{_where(entries)}\n\n"


def _rows(entry: Entry) -> Iterator[list[str]]:
    """Yield one row for fastfeat's plain way, if there is anyone to compare with."""
    best, theirs = results.best_peer(entry), results.peers(entry).get("pandas")
    if best is None or "fastfeat" not in entry["contenders"]:
        return
    yield [
        entry["title"],
        f"{entry['rows']:,}",
        units.seconds(results.median(entry, "fastfeat")),
        f"{units.seconds(results.median(entry, best))} ({best})",
        f"**{units.times(results.ratio(entry, best))}**",
        "–" if theirs is None else units.times(results.ratio(entry, theirs)),
    ]


def _where(entries: list[Entry]) -> str:
    """Return on what and with which versions the entries were measured."""
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
