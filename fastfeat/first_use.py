"""Imports on first use: deferred modules, and tables with rows in other modules.

A fresh process pays for every imported line, most of all if it cannot write `.pyc` files.

Import a module in `DEFERRED` as a module, `from fastfeat.execute import windows`. Its file is read
and run at the first attribute access, such as `windows.run_over`. Therefore take names from it only
inside functions. A `LazyRows` table knows the names of its rows and the module of each; it imports
a module when a row of it is first requested.

As in any import, only the lock of the imported module is held. A fork waits for first uses in other
threads, for at most ten seconds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from threading import Condition, RLock, get_ident
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from importlib.abc import Loader
else:  # importlib.abc imports importlib.resources, and with it tempfile, shutil, random and bz2
    Loader = object

V = TypeVar("V")

DEFERRED = frozenset(
    (
        "fastfeat.aggregates.definition",
        "fastfeat.aggregates.function",
        "fastfeat.aggregates.keys",
        "fastfeat.aggregates.power",
        "fastfeat.aggregates.target",
        "fastfeat.backends.reference",
        "fastfeat.calls.checks",
        "fastfeat.engine.cpu.compiled",
        "fastfeat.engine.cpu.learn",
        "fastfeat.engine.cpu.likelihood",
        "fastfeat.engine.cpu.ranks",
        "fastfeat.engine.cpu.render",
        "fastfeat.engine.cpu.run",
        "fastfeat.engine.cpu.shared_learning",
        "fastfeat.engine.cpu.step_calls",
        "fastfeat.engine.cpu.threads",
        "fastfeat.engine.failure",
        "fastfeat.engine.learner",
        "fastfeat.engine.reference.run",
        "fastfeat.execute.encoded_rows",
        "fastfeat.execute.failures",
        "fastfeat.execute.order_warnings",
        "fastfeat.execute.row.one_row",
        "fastfeat.execute.row_identity",
        "fastfeat.execute.shares",
        "fastfeat.execute.sparse",
        "fastfeat.execute.step_costs",
        "fastfeat.execute.text_slots",
        "fastfeat.execute.values",
        "fastfeat.execute.windows",
        "fastfeat.io.budget",
        "fastfeat.io.columns.column_addresses",
        "fastfeat.io.columns.conform",
        "fastfeat.io.columns.conversions",
        "fastfeat.io.columns.keys",
        "fastfeat.io.columns.lists",
        "fastfeat.io.columns.row_values",
        "fastfeat.io.columns.strings",
        "fastfeat.io.columns.times",
        "fastfeat.io.host_memory",
        "fastfeat.io.sinks.atomic",
        "fastfeat.io.sinks.results",
        "fastfeat.io.sinks.write",
        "fastfeat.io.sources.dataset",
        "fastfeat.io.sources.files",
        "fastfeat.io.sources.formats",
        "fastfeat.io.sources.locations",
        "fastfeat.io.sources.scan",
        "fastfeat.io.sources.schema",
        "fastfeat.io.temporary_files",
        "fastfeat.learn.ahead_warnings",
        "fastfeat.learn.duplicate_ids",
        "fastfeat.learn.duplicate_rows",
        "fastfeat.learn.fold_warnings",
        "fastfeat.learn.folds",
        "fastfeat.learn.infinite",
        "fastfeat.learn.key_warnings",
        "fastfeat.learn.keys",
        "fastfeat.learn.kinds",
        "fastfeat.learn.labels",
        "fastfeat.learn.duplicate_ids",
        "fastfeat.learn.duplicate_rows",
        "fastfeat.learn.stable_codes",
        "fastfeat.learn.training_features",
        "fastfeat.operators.calendar",
        "fastfeat.operators.hints",
        "fastfeat.operators.horizontal",
        "fastfeat.operators.keys",
        "fastfeat.operators.lookup",
        "fastfeat.operators.missing",
        "fastfeat.operators.windows",
        "fastfeat.plan.declare.clocks",
        "fastfeat.plan.declare.contract",
        "fastfeat.plan.declare.late_windows",
        "fastfeat.plan.declare.leakage",
        "fastfeat.plan.declare.rows_ahead",
        "fastfeat.plan.declare.window_reach",
        "fastfeat.plan.lower.code_types",
        "fastfeat.plan.lower.codes",
        "fastfeat.plan.lower.indicators",
        "fastfeat.scalars.bounds",
        "fastfeat.scalars.calendar",
        "fastfeat.scalars.categories",
        "fastfeat.scalars.choice",
        "fastfeat.scalars.table",
        "fastfeat.scalars.temporal",
        "fastfeat.scalars.temporal_arithmetic",
        "fastfeat.scalars.temporal_cast",
        "fastfeat.scalars.tzif",
        "fastfeat.scalars.zone_files",
        "fastfeat.steps.keys.cpu_compact_index",
        "fastfeat.steps.keys.cpu_counting",
        "fastfeat.steps.keys.cpu_group_rows",
        "fastfeat.steps.keys.cpu_group_states",
        "fastfeat.steps.keys.cpu_groups",
        "fastfeat.steps.keys.cpu_hashing",
        "fastfeat.steps.keys.cpu_key_files",
        "fastfeat.steps.keys.cpu_learner",
        "fastfeat.steps.keys.cpu_open_keys",
        "fastfeat.steps.keys.cpu_ordered",
        "fastfeat.steps.keys.cpu_packed",
        "fastfeat.steps.keys.cpu_sorted_runs",
        "fastfeat.steps.keys.cpu_vocabulary",
        "fastfeat.steps.keys.rows",
        "fastfeat.steps.keys.tasks",
        "fastfeat.steps.lists.rows",
        "fastfeat.steps.step",
        "fastfeat.steps.tables.rows",
        "fastfeat.steps.targets.cpu_states",
        "fastfeat.steps.targets.cpu_time_folds",
        "fastfeat.steps.targets.tasks",
        "fastfeat.steps.targets.time_folds",
        "fastfeat.steps.text.growth",
        "fastfeat.steps.windows.cpu",
        "fastfeat.steps.windows.cpu_tables",
        "fastfeat.steps.windows.rows",
        "fastfeat.steps.windows.table_rows",
        "fastfeat.steps.windows.tasks",
        "fastfeat.tell.explain",
        "fastfeat.tell.fitted_tables",
        "fastfeat.tell.summary",
        "fastfeat.trust.quality.profile",
        "fastfeat.trust.quality.table_profiles",
        "fastfeat_kernels.grouped.joining",
        "fastfeat_kernels.grouped.order",
        "fastfeat_kernels.grouped.statistics",
        "fastfeat_kernels.grouped.tables",
        "fastfeat_kernels.hashing.reference",
        "fastfeat_kernels.moments.exact",
        "fastfeat_kernels.moments.many",
        "fastfeat_kernels.powers.reference",
        "fastfeat_kernels.powers.state",
        "fastfeat_kernels.vocabulary.growing",
        "fastfeat_kernels.vocabulary.ordering",
        "fastfeat_kernels.vocabulary.partitions",
        "fastfeat_kernels.vocabulary.spans",
        "fastfeat_kernels.vocabulary.state",
        "fastfeat_kernels.vocabulary.tables",
        "fastfeat_kernels.windows.last_row",
        "fastfeat_kernels.windows.reference",
    )
)
"""Modules that are read on first use; none of them is a package."""
_KNOWN = frozenset(
    ("__class__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__")
)
"""Attributes that the import system reads; reading them does not count as a use."""


def import_object(address: str) -> Any:
    """Return the object at an address, such as "fastfeat.learn.scans:learn"."""
    module, _, name = address.partition(":")
    with _importing():
        return getattr(import_module(module), name)


def import_on_call(address: str) -> Callable[..., Any]:
    """Return a function that imports the function at an address on first call, and calls it."""
    found: list[Callable[..., Any]] = []

    def call(*args: Any, **options: Any) -> Any:
        if not found:
            found.append(import_object(address))
        return found[0](*args, **options)

    return call


class OnFirstUse:
    """A placeholder for an attribute of a class, which takes its place on first access.

    Args:
        owner: The class.
        name: The attribute.
        find: Returns the method or property of a name.
    """

    __slots__ = ("find", "name", "owner")

    def __init__(self, owner: type[Any], name: str, find: Callable[[str], Any]) -> None:
        self.owner = owner
        self.name = name
        self.find = find

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        """Return the real attribute, bound to the instance if there is one."""
        found = self.find(self.name)
        setattr(self.owner, self.name, found)
        return found.__get__(instance, owner)


class LazyRows(MutableMapping[str, V], Generic[V]):
    """A table of rows by name, with rows from tables in modules that are imported on first use.

    Args:
        address: Address of the tables, with braces for the varying part:
            "fastfeat.scalars.{}:FUNCTIONS".
        names: Varying part of the address to the names of its rows, separated by spaces.
        taken: Converts such a table to a dict of name to row; by default the table is one.

    Example:
        >>> rows = LazyRows("fastfeat.scalars.{}:FUNCTIONS", {"boolean": "and or xor not"})
        >>> list(rows), rows["and"].n_args
        (['and', 'or', 'xor', 'not'], 2)
    """

    __slots__ = ("_found", "_taken", "addresses")

    def __init__(
        self,
        address: str,
        names: Mapping[str, str],
        taken: Callable[[Any], Mapping[str, V]] = lambda table: table,
    ) -> None:
        self.addresses = {
            name: address.format(part) for part, of in names.items() for name in of.split()
        }
        self._found: dict[str, V] = {}
        self._taken = taken

    def __getitem__(self, name: str) -> V:
        """Return a row; imports its module on first use."""
        found = self._found
        if name not in found:
            rows = self._taken(import_object(self.addresses[name]))
            found.setdefault(name, rows[name])
        return found[name]

    def __setitem__(self, name: str, row: V) -> None:
        """Add or replace a row."""
        self.addresses.setdefault(name, "")
        self._found[name] = row

    def __delitem__(self, name: str) -> None:
        """Remove a row."""
        del self.addresses[name]
        self._found.pop(name, None)

    def __contains__(self, name: object) -> bool:
        """Return whether there is such a row; imports nothing."""
        return name in self.addresses

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the rows; imports nothing."""
        return iter(self.addresses)

    def __len__(self) -> int:
        """Return the number of rows; imports nothing."""
        return len(self.addresses)


class RowsOnFirstUse(Mapping[str, V], Generic[V]):
    """A table of rows by name, each made on first use.

    Args:
        made: Rows that are made already.
        makers: By name, the functions that make the others.
    """

    __slots__ = ("_made", "_makers")

    def __init__(self, made: Mapping[str, V], makers: Mapping[str, Callable[[], V]]) -> None:
        self._made = dict(made)
        self._makers = makers

    def __getitem__(self, name: str) -> V:
        """Return a row; makes it on first use."""
        if name not in self._made:
            self._made.setdefault(name, self._makers[name]())
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        """Return whether there is such a row; makes nothing."""
        return name in self._made or name in self._makers

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the rows; makes nothing."""
        return iter(dict.fromkeys((*self._makers, *self._made)))

    def __len__(self) -> int:
        """Return the number of rows; makes nothing."""
        return len({*self._makers, *self._made})


class LazyTypeTable(MutableMapping[type[Any], V], Generic[V]):
    """A table with types as keys; types and values are imported on first use.

    A lookup does not import the type: a record exists, so its module has been imported, and the
    type is found by its address.

    Args:
        addresses: Address of the type to address of its value.
    """

    __slots__ = ("_found", "addresses")

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = dict(addresses)
        self._found: dict[type[Any], V] = {}

    def __getitem__(self, kind: type[Any]) -> V:
        """Return the value of a type; imports its module on first use."""
        found = self._found
        if kind not in found:
            found.setdefault(kind, import_object(self.addresses[_address_of(kind)]))
        return found[kind]

    def __setitem__(self, kind: type[Any], value: V) -> None:
        """Add or replace a value."""
        self.addresses.setdefault(_address_of(kind), "")
        self._found[kind] = value

    def __delitem__(self, kind: type[Any]) -> None:
        """Remove a type."""
        del self.addresses[_address_of(kind)]
        self._found.pop(kind, None)

    def __contains__(self, kind: object) -> bool:
        """Return whether the table has a type; imports nothing."""
        return isinstance(kind, type) and _address_of(kind) in self.addresses

    def __iter__(self) -> Iterator[type[Any]]:
        """Yield the types; imports their modules."""
        return map(import_object, list(self.addresses))

    def __len__(self) -> int:
        """Return the number of types; imports nothing."""
        return len(self.addresses)


_BUILTIN = frozenset((float, int, bool, str, bytes, tuple, list, dict, type(None)))
"""Types of most learned values; to make an address of one takes .4 us."""


def is_a(value: object, *addresses: str) -> bool:
    """Return whether a value's exact type is at one of the addresses; imports nothing."""
    kind = type(value)
    return kind not in _BUILTIN and _address_of(kind) in addresses


def _address_of(kind: type[Any]) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


class _Deferred(ModuleType):
    """A deferred module that is not used yet."""

    def __getattribute__(self, name: str) -> Any:
        """Run the file of the module, and return the attribute."""
        if name not in _KNOWN:
            with _importing():
                _run(self)
        return ModuleType.__getattribute__(self, name)


class _FirstUse(Loader):
    """A loader that leaves a module empty until its first use, then fills it by `loader`."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.lock = RLock()
        self.thread: int | None = None
        """The thread that runs the file now."""

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped loader, such as its function for the source."""
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return an empty module."""
        return _Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave a new module empty; run the file for a reload."""
        if type(module) is not _Deferred:
            self.loader.exec_module(module)


def _run(module: ModuleType) -> None:
    """Run the file of a module that is not used yet; other threads wait for it."""
    first: Any = ModuleType.__getattribute__(module, "__loader__")
    if not isinstance(first, _FirstUse):  # another thread has just run the file
        return
    with first.lock:
        if type(module) is not _Deferred or first.thread is not None:  # it uses itself
            return
        first.thread = get_ident()
        try:
            spec: ModuleSpec = ModuleType.__getattribute__(module, "__spec__")
            module.__file__ = spec.origin
            first.loader.exec_module(module)
            module.__loader__ = spec.loader = first.loader
            setattr(module, "__class__", ModuleType)  # noqa: B010  # checkers take it for a mistake
        finally:
            first.thread = None


class Finder:
    """A finder of the deferred modules, first in `sys.meta_path`."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a deferred module; None for any other module."""
        if name not in DEFERRED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _FirstUse(spec.loader)
            spec.has_location = False  # no `__file__` before the file is run
        return spec


class _Imports:
    """The threads that import on first use now; a fork in another thread waits for them.

    A child process inherits the import locks but not the threads that would release them, so its
    own import of the same module would wait forever. A fork waits at most `patience_s` seconds,
    because an import may itself wait for the forking thread.
    """

    def __init__(self) -> None:
        self.changed = Condition(RLock())
        self.depths: dict[int, int] = {}
        self.patience_s = 10.0

    def wait(self) -> None:
        """Wait until no other thread imports, and keep new imports from starting."""
        self.changed.acquire()
        if get_ident() not in self.depths:
            self.changed.wait_for(lambda: not self.depths, self.patience_s)

    def go_on(self) -> None:
        """Allow imports again."""
        self.changed.release()

    def forget(self) -> None:
        """Forget the threads of the parent, in a child process."""
        me = get_ident()
        self.depths = {me: self.depths[me]} if me in self.depths else {}
        self.changed = Condition(RLock())
        _forget_threads()


_IMPORTS = _Imports()


@contextmanager
def _importing() -> Generator[None]:
    """Make forks in other threads wait for the block."""
    me, imports = get_ident(), _IMPORTS
    try:
        with imports.changed:
            imports.depths[me] = imports.depths.get(me, 0) + 1
        yield
    finally:
        with imports.changed:
            depth = imports.depths.pop(me, 1)
            if depth > 1:
                imports.depths[me] = depth - 1
            imports.changed.notify_all()


def _forget_threads() -> None:
    """Allow files to be run again that threads of the parent were running, in a child process."""
    for name in DEFERRED:
        module = sys.modules.get(name)
        first = None if module is None else module.__loader__
        if isinstance(first, _FirstUse) and first.thread not in (None, get_ident()):
            first.lock, first.thread = RLock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_IMPORTS.wait, after_in_parent=_IMPORTS.go_on, after_in_child=_IMPORTS.forget
    )
if Finder not in sys.meta_path:
    sys.meta_path.insert(0, Finder)
