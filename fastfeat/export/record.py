"""The record of an export: its form, its files, and one entry per declared feature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fastfeat_kernels.records import dataclass

if TYPE_CHECKING:
    from fastfeat.execute.fitted import Fitted

Label = Literal["same bits", "approximate", "refused"]


@dataclass(frozen=True, slots=True)
class ExportedFeature:
    """A declared feature in an export.

    Args:
        name: Name of the feature.
        label: "same bits" as `transform`, "approximate", or "refused" if it is not in the export.
        reason: The step that cannot be written and why; "" for other labels.
        n_code_bytes: Bytes of machine code, estimated from the operations; shared functions, such
            as `exp`, are not counted.
        n_table_bytes: Bytes of the tables that the feature reads.
        n_operations: Number of operations per row, without those inside of shared functions.
        n_stack_bytes: Bytes of stack, estimated from the values of a row that are alive at once.
    """

    name: str
    label: Label
    reason: str = ""
    n_code_bytes: int = 0
    n_table_bytes: int = 0
    n_operations: int = 0
    n_stack_bytes: int = 0

    def __str__(self) -> str:
        """Return the name, the label, and the costs or the reason."""
        if self.label == "refused":
            return f"{self.name}: refused, {self.reason}"
        return (
            f"{self.name}: {self.label}, {self.n_operations} operations, about "
            f"{self.n_code_bytes} bytes of code, {self.n_table_bytes} of tables, "
            f"{self.n_stack_bytes} of stack"
        )


@dataclass(frozen=True, slots=True)
class Export:
    """A fitted plan, written as source code.

    Args:
        form: The form, such as "c".
        path: The folder or file that was written.
        files: SHA-256 digest of each file, by name.
        digest: SHA-256 digest of the fitted plan.
        features: One entry per declared feature, in order.
    """

    form: str
    path: Path
    files: Mapping[str, str]
    digest: str
    features: tuple[ExportedFeature, ...]
    fitted: Fitted | None = field(default=None, repr=False)
    """The plan that was written, refused features included."""

    def __str__(self) -> str:
        """Return one line per feature."""
        return "\n".join(map(str, self.features))

    def to_json(self) -> str:
        """Return the record as JSON, without the plan."""
        content = {
            "form": self.form,
            "path": str(self.path),
            "files": dict(self.files),
            "digest": self.digest,
            "features": [asdict(feature) for feature in self.features],
        }
        return json.dumps(content, indent=2) + "\n"
