"""Addresses in pickles: those of plans, which stay, and old ones of what has moved since.

A pickle names a function or a class by its module, and is read by versions to come. Plans are
pickled by functions of this module, which keep their names, arguments and place. What a pickle of
an earlier version may name, and where it is now, is a table; whoever moves it edits a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGE = f"{__name__.partition('.')[0]}."
OLD: Mapping[str, Mapping[str, str]] = {
    "plan.plan": {"Plan": "fastfeat.api.plan.Plan"},
    "plan.fitted": {"FittedPlan": "fastfeat.api.plan.FittedPlan"},
    "plan.artifact": {
        "fitted_of": "fastfeat.api.plan.fitted_of",
        "load": "fastfeat.api.plan.load",
    },
    "plan.cross_fit": {"Fold": "fastfeat.plan.fit.cross_fit.Fold"},
    "online.live": {
        "Live": "fastfeat.online.live.Live",
        "online": "fastfeat.api.online.online",
    },
    "online.replay": {
        "Replay": "fastfeat.online.audit.replay_report.Replay",
        "replay": "fastfeat.api.online.replay",
    },
    "operators.asof": {"asof": "fastfeat.operators.lookup.asof"},
    "integrations.leak_test": {"leak_test": "fastfeat.integrations.leak_test.leak_test"},
    "integrations.leak_report": {
        "LeakReport": "fastfeat.integrations.leak_report.LeakReport",
        "Score": "fastfeat.integrations.leak_report.Score",
    },
    "integrations.held": {
        "PackedTable": "fastfeat.integrations.held.PackedTable",
        "_unpacked_held": "fastfeat.integrations.held._unpacked_held",
    },
}
"""For each module of version 0.1, less the name of the package: its names, and where they are."""


def plan_of(text: str) -> Any:
    """Return the `Plan` of its JSON."""
    return import_module("fastfeat.api.plan").Plan.from_json(text)


def fitted_of(content: bytes) -> Any:
    """Return the `FittedPlan` of the content of its artifact."""
    return import_module("fastfeat.api.plan").fitted_of(content)


def contract_of(text: str) -> Any:
    """Return the `Contract` of its JSON."""
    return import_module("fastfeat.quality.contract").Contract.from_json(text)


def set_fields(value: Any, state: Sequence[Any]) -> None:
    """Set the fields of a dataclass with slots from its pickle: its `__setstate__`.

    Such a pickle holds values by position. New fields stand after older ones and have a default,
    which they take from a pickle of an earlier version.
    """
    for number, field in enumerate(fields(value)):
        if number < len(state):
            one = state[number]
        else:
            one = field.default if field.default_factory is MISSING else field.default_factory()
            assert one is not MISSING, f"{field.name} is newer than a pickle, and has no default"
        object.__setattr__(value, field.name, one)  # the dataclass may be frozen


def moved_from(module: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module that is there still, for names that have left it."""
    row = OLD.get(module.removeprefix(_PACKAGE), {})

    def moved(name: str) -> Any:
        if name not in row:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return _at(row[name])

    return moved


def _at(address: str) -> Any:
    home, _, name = address.rpartition(".")
    return getattr(import_module(home), name)


class OldAddresses:
    """Finds modules of the table where there is no file of the name any more; last on the path.

    Nothing else is found, and in such a module nothing but the names of its row.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of the table, or of a folder above one; else None."""
        old = name.removeprefix(_PACKAGE)
        is_folder = any(module.startswith(f"{old}.") for module in OLD)
        if old == name or not (is_folder or old in OLD):
            return None
        return ModuleSpec(name, OldAddresses, origin="moved", is_package=is_folder)  # pyright: ignore[reportArgumentType]  # a class is a loader too

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType | None:
        """Return None: the module is an ordinary one."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Fill a module with what its row says."""
        for name, address in OLD.get(module.__name__.removeprefix(_PACKAGE), {}).items():
            setattr(module, name, _at(address))
