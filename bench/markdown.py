"""The results as a page: targets and results, every contender, and the method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench import memory, results, targets, units
from bench.results import Entry, Results

METHOD = f"""\
- Every workload runs in a fresh process; each library may use as many threads as the table says.
- Outputs are compared first, missing values included; a workload whose outputs differ is not timed.
  Integers must be equal; the tolerance for floats stands under each table.
- Contenders take turns, sample by sample, with the garbage collector off; data is converted to each
  library's own form before. Figures are medians; the quartiles show the spread.
- *Best peer* is the fastest way that we found among all libraries. What is written by hand for
  this one task (blocks, threads) is shown, and does not count as a peer.
- Bytes per second are those of the Arrow input read once and the output written once; the share
  is of what copying (reading, for statistics) of 256 MiB by as many threads reached in the same
  process.
- Peak memory: {memory.METHOD}.
- Cold: a fresh process with an empty cache, 1,000 rows; compiling is the first fit and transform
  less the second. Cached: the same with the cache that it left.
"""


def render(found: Results) -> str:
    """Return the page."""
    entries = list(found["workloads"].values())
    good = [entry for entry in entries if not results.failed(entry)]
    parts = ["# Benchmark\n"]
    if any(entry["smoke"] for entry in entries):
        parts.append("**A smoke run: outputs were compared, the times mean nothing.**\n")
    parts += [_failures(entries), _machines(good), "![Times faster](results.svg)\n"]
    sections = {
        "Summary": _summary([one for one in good if one["group"] not in results.SWEEPS]),
        "Targets": _targets(good),
        "Starts, 1,000 rows": _starts(good),
        "Rows": _scaling([one for one in good if one["group"] == "row_scaling"]),
        "Threads": _threads([one for one in good if one["group"] == "threads"]),
        "Every contender": "\n".join(_contenders(entry) for entry in good),
        "How it is measured": METHOD,
    }
    parts += [f"## {heading}\n\n{body}" for heading, body in sections.items() if body]
    return "\n".join(part for part in parts if part)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is text, the others figures; "" without rows."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if not lines:
        return ""
    rule = "|---|" + "---:|" * (len(head) - 1)
    return "\n".join(["| " + " | ".join(head) + " |", rule, *lines, ""])


def _failures(entries: list[Entry]) -> str:
    return "".join(
        f"**{entry['name']} failed and was not timed:** {reason}\n\n"
        for entry in entries
        if (reason := results.failed(entry))
    )


def _machines(good: list[Entry]) -> str:
    """Return one paragraph per machine and set of versions: parts may be measured on several."""
    where: dict[str, list[Entry]] = {}
    for entry in good:
        machine = entry["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        memory_size = machine["memory_bytes"]
        size = f", {memory_size / 2**30:.0f} GiB" if memory_size else ""
        revision = f" at {machine['revision']}" if machine.get("revision") else ""
        system = f"{machine['cpu']}, {machine['cores']} cores{size}, {machine['system']}"
        text = f"{system}; {versions}{revision}"
        where.setdefault(text, []).append(entry)
    lines: list[str] = []
    for text, measured in where.items():
        days = sorted({entry["machine"]["measured_at"][:10] for entry in measured})
        what = "" if len(where) == 1 else " " + ", ".join(entry["name"] for entry in measured) + ":"
        lines.append(f"Measured {' to '.join(dict.fromkeys((days[0], days[-1])))}:{what} {text}.\n")
    return "\n".join(lines)


def _summary(good: list[Entry]) -> str:
    rows: list[list[str]] = []
    for entry in good:
        peer = results.best_peer(entry)
        for name in _ours(entry):
            seconds = results.median(entry, name)
            rows.append(
                [
                    _title(entry, name),
                    f"{entry['rows']:,}",
                    units.seconds(seconds),
                    "–" if peer is None else units.seconds(results.median(entry, peer)),
                    "–" if peer is None else peer,
                    "–" if peer is None else f"**{units.times(results.ratio(entry, peer, name))}**",
                ]
            )
    return table(["work", "rows", "fastfeat", "best peer", "which", "ratio"], rows)


def _title(entry: Entry, contender: str) -> str:
    return entry["title"] + contender.removeprefix("fastfeat").replace(" ", ", ", 1)


def _ours(entry: Entry) -> list[str]:
    return [name for name, one in entry["contenders"].items() if one["library"] == "fastfeat"]


def _targets(good: list[Entry]) -> str:
    rows = [
        [
            _title(entry, judged.contender),
            judged.asked,
            judged.aim or "–",
            judged.reached,
            "met" if judged.is_met else "**missed**",
        ]
        for entry in good
        for judged in targets.judge(entry)
    ]
    return table(["work", "target", "aim", "reached", ""], rows)


def _starts(good: list[Entry]) -> str:
    rows: list[list[str]] = []
    for entry in good:
        if "starts" not in entry:
            continue
        cold, cached = entry["starts"]["cold"], entry["starts"]["cached"]
        rows.append(
            [
                entry["title"],
                units.seconds(cold["total_seconds"]),
                units.seconds(cold["compiler_import_seconds"]),
                units.seconds(cold["compile_seconds"]),
                units.seconds(cached["total_seconds"]),
                "yes" if cached["numba_imported"] else "no",
            ]
        )
    head = ["work", "cold", "of it import compiler", "of it compile", "cached", "imports numba"]
    return table(head, rows)


def _scaling(entries: list[Entry]) -> str:
    names = list(dict.fromkeys(name for entry in entries for name in entry["contenders"]))
    rows = [
        [f"{entry['rows']:,}"]
        + [f"{results.median(entry, name) / entry['rows'] * 1e9:.2f}" for name in names]
        for entry in entries
    ]
    return table(["rows", *(f"{name}, ns/row" for name in names)], rows)


def _threads(entries: list[Entry]) -> str:
    """Return the speedup by more threads, with one row per work and contender."""
    counts = sorted({entry["threads"] for entry in entries})
    measured: dict[tuple[str, str], dict[int, float]] = {}
    for entry in entries:
        for name in entry["contenders"]:
            times = measured.setdefault((entry["label"], name), {})
            times[entry["threads"]] = results.median(entry, name)
    rows = [
        [
            label,
            name,
            *(units.seconds(times[count]) if count in times else "–" for count in counts),
            units.times(times[counts[0]] / times[counts[-1]]) if len(times) > 1 else "–",
        ]
        for (label, name), times in measured.items()
    ]
    return table(["work", "contender", *(f"threads: {count}" for count in counts), "gain"], rows)


def _contenders(entry: Entry) -> str:
    peaks = entry.get("peak_bytes", {})
    is_latency = entry["kind"] == "latency"
    head = ["contender", "median", "min", "quartiles", "fastfeat is", "samples"]
    head += ["p99"] if is_latency else ["GB/s", f"of {entry['bandwidth_of']}"]
    head += ["peak memory"] if peaks else []
    rows: list[list[str]] = []
    for name, one in entry["contenders"].items():
        hand = " (by hand)" if one["by_hand"] else ""
        quartiles = [units.seconds(one[f"quartile{which}_seconds"]) for which in (1, 3)]
        row = [
            name + hand,
            units.seconds(one["median_seconds"]),
            units.seconds(one["min_seconds"]),
            " – ".join(quartiles),
            "" if one["library"] == "fastfeat" else units.times(results.ratio(entry, name)),
            f"{one['samples']:,}",
        ]
        if is_latency:
            row.append(units.seconds(one["p99_seconds"]))
        else:
            row.append(f"{results.bytes_per_second(entry, name) / 1e9:.2f}")
            row.append(units.percent(results.share(entry, name)))
        if peaks:
            row.append(units.n_bytes(peaks[name]) if name in peaks else "")
        rows.append(row)
    skipped = "".join(f"{name}: skipped, {why}. " for name, why in entry["skipped"].items())
    return (
        f"### {entry['name']}\n\n{entry['title']}; {entry['rows']:,} rows, {_sizes(entry)}"
        f"{entry['threads']} thread{'s' * (entry['threads'] > 1)}.\n\n"
        + table(head, rows)
        + f"\nTolerance: {entry['tolerance']}. {skipped}\n"
    )


def _sizes(entry: Entry) -> str:
    if entry["kind"] == "latency":
        return ""
    size = f"{units.n_bytes(entry['input_bytes'])} in, "
    return size + (f"{units.n_bytes(entry['output_bytes'])} out, " if entry["output_bytes"] else "")
