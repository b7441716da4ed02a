"""`certify`: an export is run beside its plan, and their bits are compared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastfeat.api.plan import FittedPlan, load
from fastfeat.calls.arguments import with_argument_errors
from fastfeat.errors import InvalidPlan

if TYPE_CHECKING:
    from fastfeat.export.certificate import Certificate
    from fastfeat.export.record import Export


@with_argument_errors
def certify(
    export: Export | str | os.PathLike[str],
    data: Any = None,
    *,
    fitted: FittedPlan | str | os.PathLike[str] | None = None,
    engine: str | None = None,
    n_rows: int | None = None,
) -> Certificate:
    """Compile and run an export beside its plan, and compare bits.

    The files are compared with their digests, the self-test is run, and then rows are computed by
    both: those of the data, and generated ones with extremes. A difference is a result, not an
    error.

    Args:
        export: The export, or its folder.
        data: Rows in any form that `transform` takes; None for generated rows alone.
        fitted: The fitted plan, or its artifact. An `Export` knows its plan.
        engine: The compiler: "cc" (the default) or a path.
        n_rows: Number of rows of the data to compare, from the first; None for all.

    Returns:
        The certificate: `.ok`, and a check per column.

    Raises:
        ArtifactError: The folder holds no export, or that of another plan.
        KernelFailed: The compiler refuses the text.
        LibraryUnavailable: There is no such compiler.
        InvalidPlan: A folder was given without its plan.

    Example:
        >>> import tempfile
        >>> fitted = ff.Plan({"y": col("x") + 1}).fit({"x": [1, 2]})
        >>> export = fitted.export("c", tempfile.mkdtemp())
        >>> ff.certify(export, {"x": [3, None]}).ok
        True
    """
    from fastfeat.export.certificate import certify_folder
    from fastfeat.export.record import Export

    known = export.fitted if isinstance(export, Export) and fitted is None else None
    if known is None and fitted is None:
        raise InvalidPlan("a folder does not hold the plan: give fitted=, the plan or its artifact")
    if known is None:
        known = (fitted if isinstance(fitted, FittedPlan) else load(fitted)).record  # type: ignore[arg-type]
    folder = export.path if isinstance(export, Export) else Path(export)
    return certify_folder(folder, known, data, engine=engine, n_rows=n_rows)
