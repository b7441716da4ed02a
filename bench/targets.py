"""Targets and results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench import results, units
from bench.results import Entry
from bench.workload import AT_LEAST


@dataclass(frozen=True, slots=True)
class Judged:
    """A target beside the measured figure; both as text, in the same unit.

    Args:
        contender: The contender of fastfeat.
        asked: The target, such as "≥ 4.00× Polars".
        aim: A further aim, or "".
        reached: The figure.
        is_met: Whether the figure reaches the target.
    """

    contender: str
    asked: str
    aim: str
    reached: str
    is_met: bool


def judge(entry: Entry) -> list[Judged]:
    """Return every target of a workload that has a measured figure."""
    return [
        Judged(
            contender=target["contender"],
            asked=_asked(target),
            aim="" if target["aim"] is None else _text(target, target["aim"]),
            reached=_text(target, figure),
            is_met=_is_met(target, figure),
        )
        for target in entry["targets"]
        if (figure := reached(entry, target)) is not None
    ]


def reached(entry: Entry, target: dict[str, Any]) -> float | None:
    """Return the figure for a target; None if it was not measured."""
    contender = target["contender"]
    match target["quantity"]:
        case "ratio":
            peer = results.peers(entry).get(target["library"])
            return None if peer is None else results.ratio(entry, peer, contender)
        case "share":
            return results.share(entry, contender)
        case "slowdown":
            return 1 / results.ratio(entry, next(iter(entry["contenders"])), contender)
        case "extra_memory":
            return _extra_memory(entry, contender, entry["input_bytes"] + entry["output_bytes"])
        case "memory_per_input":
            return _extra_memory(entry, contender, entry["input_bytes"])
        case "compile_seconds":
            return entry.get("starts", {}).get("cold", {}).get("compile_seconds")
        case quantity:
            return entry["contenders"][contender].get(quantity)


def _extra_memory(entry: Entry, contender: str, n_bytes: int) -> float | None:
    """Return the peak memory beyond the output, as a share of some bytes."""
    if contender not in entry.get("peak_bytes", {}):
        return None
    extra = entry["peak_bytes"][contender] - entry["output_bytes"]
    return max(0, extra) / n_bytes


def _is_met(target: dict[str, Any], figure: float) -> bool:
    if target["quantity"] in AT_LEAST:
        return figure >= target["value"]
    return figure <= target["value"]


def _asked(target: dict[str, Any]) -> str:
    value = _text(target, target["value"])
    match target["quantity"]:
        case "ratio":
            return f"≥ {target['value']:g}× {results.NAMES[target['library']]}"
        case "share":
            return f"≥ {value} of bandwidth"
        case "slowdown":
            which = target["contender"].removeprefix("fastfeat ")
            return f"{which}: ≤ {target['value']:g}× the time of the first"
        case "extra_memory":
            return f"memory beyond the output ≤ {value} of input + output"
        case "memory_per_input":
            return f"memory beyond the output ≤ {target['value']:g}× the input"
        case "compile_seconds":
            return f"cold compile ≤ {target['value']:g} s"
        case quantity:
            return f"{quantity.removesuffix('_seconds')} ≤ {value}"


def _text(target: dict[str, Any], figure: float) -> str:
    match target["quantity"]:
        case "ratio" | "slowdown" | "memory_per_input":
            return units.times(figure)
        case "share" | "extra_memory":
            return units.percent(figure)
        case _:
            return units.seconds(figure)
