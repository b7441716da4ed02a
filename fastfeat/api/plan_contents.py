"""Methods of `Plan` that need the types of columns, and no rows.

`Plan` imports this module when one of them is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastfeat.api.faces import OfDeclaration
from fastfeat.execute.lookup_tables import Tables, resolve_schemas
from fastfeat.io.arrow import Schema as ArrowSchema
from fastfeat.io.sources import schema as schemas
from fastfeat.learn.training_data import check_clocks
from fastfeat.plan.declare.bind import bind, check_new_plan
from fastfeat.plan.lower.outputs import schema_before_fit
from fastfeat.tell import explain as explanations

if TYPE_CHECKING:
    from fastfeat.api.compile import Compiled
    from fastfeat.trust.quality.profiling import ProfileChoice


def schema(self: OfDeclaration, input_schema: Any, *, tables: Tables = None) -> ArrowSchema:
    """Return the Arrow schema of the features, given the schema of the data.

    Args:
        input_schema: An Arrow schema, data in any form that `fit` takes, or a dict of column
            name to dtype.
        tables: Lookup tables by name: for each an Arrow schema, data, or a dict of column name
            to dtype.

    Raises:
        UnknownColumn: A column or a table that the features read does not exist.
        TypeMismatch: An operator cannot take the type of a column.
        Leakage: A window sees labels too early, given the zone or the type of its time column.
        InvalidPlan: The columns, or the types of codes, are only known after the fit.

    Example:
        >>> import pyarrow as pa
        >>> plan = ff.Plan({"x": col("x") + 1, "big": col("x") > 2})
        >>> plan.schema(pa.schema({"x": pa.int16()}))
        x: int64
        big: bool
    """
    declared = self.declaration
    known, of_tables = schemas.read_schema(input_schema), resolve_schemas(tables)
    types = bind(list(declared.nodes.values()), known, of_tables)
    check_new_plan(types)
    check_clocks(declared, types)
    return schema_before_fit(declared, known, of_tables, types)


def compile(
    self: OfDeclaration,
    schema: Any,
    *,
    tables: Tables = None,
    backend: str = "cpu",
    profile: ProfileChoice = False,
) -> Compiled:
    """Compile the kernels for a schema before there is data; return a record of them.

    It compiles the kernels that `fit`, `fit_transform`, `transform` and `transform_row` would
    compile at their first run into the cache folder (FASTFEAT_CACHE_DIR). Call it once, for
    instance when an image is built.

    Args:
        schema: An Arrow schema, data in any form that `fit` takes, or a dict of column name to
            dtype. For a path only the head of the file is read.
        tables: Lookup tables by name: for each an Arrow schema, data, or a dict of column name
            to dtype.
        backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
            compiled by g++). All give the same bits. Machine code for "gpu" can only be
            compiled on a machine with the card.
        profile: The value of `profile=` in the later call of `fit`. Unless False, the kernels
            that count a profile are compiled too.

    Returns:
        A record of how many kernels were compiled, how many were cached already, the seconds
        that this took, and notes about kernels that may still have to be compiled later.

    Raises:
        UnknownColumn: A column or a table that the features read does not exist.
        TypeMismatch: An operator cannot take the type of a column.
        Leakage: A window sees labels too early, given the zone or the type of its time column.
        BackendUnavailable: The backend does not exist, or cannot run here.

    Example:
        >>> plan = ff.Plan({"size": col("size").log1p()})
        >>> made = plan.compile({"size": "float64"})
        >>> made.n_compiled + made.n_loaded, made.notes
        (5, ())
    """

    from fastfeat.api.compile import compile_plan  # seldom needed

    return compile_plan(self.declaration, schema, tables, backend, profile)


def explain(
    self: OfDeclaration, stage: str = "plan", *, schema: Any = None, tables: Tables = None
) -> str:
    """Return the plan as text.

    Args:
        stage: "plan" (features, and passes over the training rows), "leakage" (the rows that
            each feature can see) or "live" (how rows are computed as they arrive, and the
            contents of a live state). With a schema also "bound" (types), "optimized" (shared
            expressions, and constant ones computed before the rows), "schedule" (the tasks of a
            run, in rounds), "physical" (loops), "cpu" and "cuda" (generated kernels), "passes"
            (the data that each pass of a fit with `memory=` reads).
        schema: For stages that need types: an Arrow schema, data in any form that `fit` takes,
            or a dict of column name to dtype. For "passes" the data itself; no rows of it are
            read.
        tables: Lookup tables by name: for each an Arrow schema, data, or a dict of column name
            to dtype. For "passes" the tables themselves.

    Raises:
        InvalidPlan: An unknown stage, or one that needs a schema.
        FastfeatError: Any error of `fit` about columns and types.

    Example:
        >>> plan = ff.Plan({"x": col("x") - col("x").mean()})
        >>> plan.explain().splitlines()[-3:]
        ['fit: 1 scan of the training rows', '  scan 1:', "    col('x').mean()"]
    """
    if schema is not None and stage == explanations.OF_DATA:
        from fastfeat.api.out_of_core import explain_passes  # seldom needed

        return explain_passes(self.declaration, schema, tables)
    known = None if schema is None else schemas.read_schema(schema)
    return explanations.explain_plan(self.declaration, stage, known, tables=resolve_schemas(tables))


def to_python(self: OfDeclaration) -> str:
    """Return Python source that builds this plan, with operators as users write them.

    Executing the text binds the name `plan` to an equal plan: its `to_json()` is the same text.
    Names of columns and features appear in it only as quoted text, so no name can run code. A
    long expression is a variable of its own. A node that no operator builds by itself is
    written as the call of its class. A plan that an earlier version recorded with its
    parameters is written as its JSON.

    Example:
        >>> import fastfeat as ff
        >>> print(ff.Plan({"size": ff.col("size").log1p()}, dtype="float32").to_python())
        import fastfeat as ff
        from fastfeat import col
        <BLANKLINE>
        plan = ff.Plan(
            {
                'size': col('size').log1p(),
            },
            dtype='float32',
        )
        <BLANKLINE>
    """
    from fastfeat.api.python_source import source_of  # seldom needed

    return source_of(self.declaration)
