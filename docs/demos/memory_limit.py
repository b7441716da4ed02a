"""A memory limit that the system enforces on a process: by a control group, or by RLIMIT_DATA.

The limit applies before the process loads its program, so that interpreter and libraries count.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
_ENTER = """
import os, resource, sys
members, n_bytes, *command = sys.argv[1:]
if members:
    with open(members, "w") as file:
        file.write(str(os.getpid()))
else:
    resource.setrlimit(resource.RLIMIT_DATA, (int(n_bytes), int(n_bytes)))
os.execv(command[0], command)
"""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A memory limit, and its enforcement.

    Args:
        n_bytes: The limit in bytes.
        how: The mechanism, by its system name; "" if nothing enforces it.
        group: Folder of a control group; None without one.
    """

    n_bytes: int
    how: str
    group: Path | None = None

    def command(self, command: Sequence[str]) -> list[str]:
        """Return a command that runs another one within the limit.

        The command's first part must be the path of a program.
        """
        if not self.how:
            return list(command)
        members = "" if self.group is None else str(self.group / "cgroup.procs")
        enter = [sys.executable, "-ES", "-c", _ENTER, members, str(self.n_bytes)]
        return [*enter, *command]

    def has_killed(self) -> bool:
        """Whether the system has killed a process of the group for lack of memory."""
        texts = list[str]()
        for name in ("memory.events", "memory.oom_control"):
            if self.group is not None:
                with suppress(OSError):
                    texts.append((self.group / name).read_text())
        return any(re.search(r"^oom_kill [1-9]", text, re.MULTILINE) for text in texts)


@contextmanager
def memory_limit(n_bytes: int) -> Generator[MemoryLimit]:
    """Yield a limit of `n_bytes` for processes that end before the context does.

    A control group also counts cached files of a process, and frees these first. RLIMIT_DATA counts
    writable addresses, whether they are in memory or not.
    """
    for folder, files in parents_of_groups():
        group = folder / f"fastfeat-demo-{os.getpid()}"
        try:
            limit = _group_limit(group, files, n_bytes)
            if limit is not None:
                yield limit
                return
        finally:
            _removed(group)
    yield MemoryLimit(n_bytes, "RLIMIT_DATA" if sys.platform == "linux" else "")


def _group_limit(group: Path, files: tuple[str, ...], n_bytes: int) -> MemoryLimit | None:
    """Return the limit of a new control group, or None if a process cannot enter it."""
    try:
        group.mkdir()
        (group / files[0]).write_text(str(n_bytes))
    except OSError:
        return None
    with suppress(OSError):  # the system may not count swapped memory
        (group / files[1]).write_text("0" if files[0] == "memory.max" else str(n_bytes))
    limit = MemoryLimit(n_bytes, f"cgroup, {files[0]}", group)
    tried = subprocess.run(
        limit.command([sys.executable, "-ES", "-c", ""]), stderr=subprocess.DEVNULL, check=False
    )
    return limit if tried.returncode == 0 else None


def parents_of_groups() -> Iterator[tuple[Path, tuple[str, str]]]:
    """Yield folders where a memory-limiting group can be created, with the files of limits.

    In version 2 a group with processes cannot contain limited groups, so its ancestors are tried.
    """
    try:
        text = OWN_GROUPS.read_text()
    except OSError:
        return
    if found := re.search(r"^0::(/.*)$", text, re.MULTILINE):
        parts = Path(found[1]).parts[1:]
        for n in range(len(parts), -1, -1):
            folder = GROUPS.joinpath(*parts[:n])
            with suppress(OSError):
                if "memory" in (folder / "cgroup.subtree_control").read_text().split():
                    yield folder, ("memory.max", "memory.swap.max")
    if found := re.search(r"^\d+:(?:.*,)?memory(?:,.*)?:/(.*)$", text, re.MULTILINE):
        for folder in (GROUPS / "memory" / found[1], GROUPS / "memory"):
            if (folder / "memory.limit_in_bytes").exists():
                yield folder, ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")


def _removed(group: Path) -> None:
    """Remove a control group, which takes a moment after its last process."""
    for _ in range(50):
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
