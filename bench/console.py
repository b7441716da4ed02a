"""One workload's figures on the console."""

from __future__ import annotations

from bench import results, targets, units
from bench.results import Entry


def render(entry: Entry) -> str:
    """Return some lines: each contender with its median, quartiles and ratio, and the targets."""
    if reason := results.failed(entry):
        return f"\n{entry['name']}: FAILED, not timed\n  {reason}"
    lines = [f"\n{entry['name']}: {entry['title']}, {entry['rows']:,} rows"]
    for name, one in entry["contenders"].items():
        low, high = (units.seconds(one[f"quartile{which}_seconds"]) for which in (1, 3))
        against = "" if one["library"] == "fastfeat" else units.times(results.ratio(entry, name))
        middle = units.seconds(one["median_seconds"])
        lines.append(f"  {name:26}{middle:>10}  {low + ' .. ' + high:24}{against:>8}")
    lines += [f"  {name:26}{reason:>10}" for name, reason in entry["skipped"].items()]
    for judged in targets.judge(entry):
        word = "met" if judged.is_met else "MISSED"
        lines.append(f"  target {judged.asked}: {judged.reached} {word}")
    return "\n".join(lines)
