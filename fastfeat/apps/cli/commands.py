"""The commands of `fastfeat`. Heavy modules are imported inside them, so that `--help` is fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastfeat.apps.cli import (
    bench,
    contracts,
    diff,
    drift,
    gpu,
    inspect,
    live,
    report,
    verify,
)
from fastfeat.apps.cli.gate_result import GateResult
from fastfeat.apps.cli.gates import gate_command
from fastfeat.apps.cli.options import (
    AnyPlanFile,
    BackendOption,
    DataFile,
    FittedFile,
    History,
    LookupTablesOption,
    MemoryOption,
    PlanFile,
)
from fastfeat.apps.cli.reporting import DEBUG, Commands
from fastfeat.errors import counted
from fastfeat.progress import ProgressStep, show_progress

if TYPE_CHECKING:
    from fastfeat.api.plan import FittedPlan
    from fastfeat.execute.call_rows import CallRows

app = typer.Typer(
    cls=Commands,
    help="Feature plans that give the same bits in training, batch and serving.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
cache = typer.Typer(help="Show or clear the cache of compiled kernels.", no_args_is_help=True)
_HAS_TYPES = "a fitted plan already has its column types: leave out this option and --table"
app.add_typer(cache, name="cache")
app.add_typer(gpu.app, name="gpu")
app.add_typer(live.state, name="state")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error.")] = False,
) -> None:
    """Declare `--debug`, an option of all commands; the class `Commands` handles it."""


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Output folder.")] = Path("demo"),
) -> None:
    """Compute features of 336,776 real flights, and compare the times with pandas."""
    from fastfeat.apps.cli.demo_summary import print_summary
    from fastfeat.demo.run import run

    with show_progress("Starting", at_once=True, is_event=True) as step:
        outcome = run(folder, step)
    print_summary(outcome)
    if not outcome.report.ok:
        raise typer.Exit(1)


@app.command()
def fit(
    plan_file: PlanFile,
    data: DataFile,
    out: Annotated[Path, typer.Option("-o", "--out", help="Output file for the fitted plan.")],
    history: History = None,
    table: LookupTablesOption = None,
    backend: BackendOption = "cpu",
    memory: MemoryOption = None,
    contract: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="Contract: rules that DATA and later rows must meet."),
    ] = None,
    stable: Annotated[
        Path | None,
        typer.Option(
            metavar="FITTED", help="An earlier fitted plan; its categories keep their codes."
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            help="Output file or folder for the features of DATA; target encodings are "
            "out of fold.",
        ),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Keep a profile of the rows, for `drift`, `report` and `serve --drift`. It "
            "contains values of single rows.",
        ),
    ] = False,
) -> None:
    """Fit a plan to training data."""
    from fastfeat.apps.cli.plans import parse_tables, read_fitted, read_plan

    started = time.perf_counter()
    if features is not None and backend != "cpu":
        raise typer.BadParameter(
            f"only the CPU writes features, got --backend {backend}. Leave out --features or "
            "--backend",
            param_hint="'--features'",
        )
    with show_progress("Reading the plan", at_once=True) as step:
        plan = read_plan(plan_file)
        step(f"Fitting {counted(len(plan.declaration.nodes), 'feature')} on {data}")
        tables = parse_tables(table)
        rules = None if contract is None else contracts.read_contract(contract)
        old = None if stable is None else read_fitted(stable)
        if features is None:
            fitted = plan.fit(
                data,
                history=history,
                tables=tables,
                backend=backend,
                memory=memory,
                contract=rules,
                profile=profile,
                stable=old,
            )
        else:
            fitted, _ = plan.fit_transform_to(
                data,
                features,
                memory=memory,
                history=history,
                tables=tables,
                contract=rules,
                profile=profile,
                stable=old,
            )
        fitted.save(out)
    typer.echo(
        f"{out}: {counted(len(plan.declaration.nodes), 'feature')}, "
        f"fitted on {counted(fitted.n_rows, 'row')} "
        f"in {time.perf_counter() - started:.2f} s"
    )


@app.command()
def transform(
    fitted_file: FittedFile,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help='A file, a folder, a pattern such as "logs/*.parquet", or an address.',
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            help="Output file: Parquet, Arrow IPC, Feather, CSV or TSV by its suffix. Without a "
            "suffix, an output folder.",
        ),
    ],
    history: History = None,
    table: LookupTablesOption = None,
    backend: BackendOption = "cpu",
    memory: Annotated[
        str | None,
        typer.Option(metavar="BYTES", help="Memory limit of the process, such as 600MiB."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="Format of an output folder: parquet, ipc, csv, tsv, delta or lance."),
    ] = None,
    partition_by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="Partition an output folder by this column; may be repeated."
        ),
    ] = None,
    part_rows: Annotated[
        int | None,
        typer.Option(
            min=1, help="Rows per part of an output folder. By default a part has about 256 MiB."
        ),
    ] = None,
    on_violation: Annotated[
        str | None,
        typer.Option(
            help="Treatment of rows that break the plan's contract: reject, quarantine, warn or "
            "ignore. By default each rule decides."
        ),
    ] = None,
    quarantined: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Output file or folder for the rows that `--on-violation quarantine` removes.",
        ),
    ] = None,
) -> None:
    """Compute the features of data. An interrupted output folder is continued."""
    from fastfeat.api.plan import load
    from fastfeat.apps.cli.plans import parse_tables
    from fastfeat.execute.call_rows import checked_call_rows
    from fastfeat.execute.layout import names_file

    started = time.perf_counter()
    if on_violation not in (None, "reject", "quarantine", "warn", "ignore"):
        raise typer.BadParameter(
            f"got {on_violation!r}: write reject, quarantine, warn or ignore",
            param_hint="'--on-violation'",
        )
    if (quarantined is None) != (on_violation != "quarantine"):
        raise typer.BadParameter(
            "write --quarantined FILE and --on-violation quarantine together, or neither",
            param_hint="'--quarantined'",
        )
    with show_progress("Reading the fitted plan", at_once=True) as step:
        fitted, tables = load(fitted_file), parse_tables(table)
        n_columns = len(fitted.feature_names) + len(fitted.plan.keep)
        is_folder = bool(format or partition_by or part_rows) or not names_file(out)
        is_whole = not (is_folder or memory or quarantined)
        if fitted.plan.declaration.past_columns and is_whole:
            given = checked_call_rows(data, None, history, tables, backend)
            n_rows = _transform_whole(fitted, given, out, on_violation, step)
        else:
            step(f"Computing {counted(len(fitted.feature_names), 'feature')} of {data}")
            made = fitted.transform_to(
                data,
                out,
                format=format,
                partition_by=partition_by or (),
                part_rows=part_rows,
                history=history,
                tables=tables,
                backend=backend,
                memory=memory,
                on_violation=on_violation,
                quarantined=quarantined,
            )
            n_rows, apart = made.n_rows, made.quarantined
            if apart is not None:
                typer.echo(f"{quarantined}: {counted(apart.n_rows, 'quarantined row')}")
    typer.echo(
        f"{out}: {counted(n_columns, 'column')}, {counted(n_rows, 'row')} "
        f"in {time.perf_counter() - started:.2f} s"
    )


def _transform_whole(
    fitted: FittedPlan, given: CallRows, out: Path, on_violation: str | None, step: ProgressStep
) -> int:
    """Compute features of data that is read whole, write them, and return the number of rows.

    This is for features that depend on other rows of the data. `given` has data, history and tables
    as files; `on_violation` is the argument of `FittedPlan.transform`; `step` reports progress.
    """
    from fastfeat.execute.guard import guarded_columns
    from fastfeat.execute.history import id_columns, is_batch
    from fastfeat.execute.inputs import read_columns
    from fastfeat.execute.layout import check_beside, layout_of
    from fastfeat.io.sinks.write import write_table

    earlier = () if is_batch(given.history) else (given.history,)
    of_tables = () if given.tables is None else given.tables.values()
    check_beside(layout_of(out), given.data, *earlier, *of_tables, read=())
    step(f"Reading {given.data}")
    plan = fitted.plan
    ids = id_columns(plan.row_id, given.history, plan.declaration.past_columns)
    judged = guarded_columns(fitted.record)
    wanted = [*plan.declaration.row_columns, *plan.keep, *judged, *ids]
    rows = read_columns(given.data, wanted, plan.declaration.past_columns)
    n_features = len(fitted.feature_names)
    step(f"Computing {counted(n_features, 'feature')} of {counted(rows.num_rows, 'row')}")
    features = fitted.transform(
        rows, backend=given.backend, on_violation=on_violation, **given.beside
    )
    step(f"Writing {out}")
    write_table(features, out)
    return features.num_rows


@app.command("compile")
def compile_kernels(
    file: AnyPlanFile,
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema",
            metavar="DATA",
            help="Data to take the column types from, if FILE is not fitted; only its head is "
            "read.",
        ),
    ] = None,
    table: LookupTablesOption = None,
    backend: BackendOption = "cpu",
    profile: Annotated[
        bool, typer.Option("--profile", help="Also compile the kernels of `fit --profile`.")
    ] = False,
) -> None:
    """Compile the kernels of a plan ahead of time, for example in a container build."""
    from fastfeat.api.plan import Plan
    from fastfeat.apps.cli.plans import parse_tables, read_plan_or_fitted
    from fastfeat.engine.kernel_cache import cache_folder

    with show_progress("Reading the plan", at_once=True) as step:
        plan = read_plan_or_fitted(file)
        step("Compiling")
        if isinstance(plan, Plan):
            if schema is None:
                raise typer.BadParameter(
                    "an unfitted plan does not know its column types: add --schema DATA",
                    param_hint="'--schema'",
                )
            tables = parse_tables(table)
            made = plan.compile(schema, tables=tables, backend=backend, profile=profile)
        elif schema is not None or table:
            raise typer.BadParameter(_HAS_TYPES, param_hint="'--schema'")
        else:
            made = plan.compile(backend=backend)
    typer.echo(f"{cache_folder()}: {made}")


@app.command()
def explain(
    file: AnyPlanFile,
    stage: Annotated[
        str | None,
        typer.Option(
            help="What to show: plan, leakage, live, bound, optimized, schedule, passes (of fit "
            "over DATA), physical, cpu or cuda (kernels), pandas or polars (features as code)."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "--schema",
            metavar="DATA",
            help="Data to take the column types from, if FILE is not fitted; only its head is "
            "read.",
        ),
    ] = None,
    table: LookupTablesOption = None,
) -> None:
    """Show what a plan computes and learns, and which data it sees."""
    from fastfeat.api.plan import Plan
    from fastfeat.apps.cli.plans import parse_tables, read_plan_or_fitted
    from fastfeat.tell.explain import OF_DATA, TYPED

    plan = read_plan_or_fitted(file)
    chosen: dict[str, Any] = {} if stage is None else {"stage": stage}
    if data is None and stage in (*TYPED, OF_DATA) and isinstance(plan, Plan):
        raise typer.BadParameter(
            f"the stage {stage} of an unfitted plan needs the column types: add --data FILE",
            param_hint="'--stage'",
        )
    if data is None and not table:
        typer.echo(plan.explain(**chosen))
        return
    if not isinstance(plan, Plan):
        of_fit = stage == OF_DATA
        told = "the stage passes needs an unfitted plan: give PLAN.py" if of_fit else _HAS_TYPES
        raise typer.BadParameter(told, param_hint="'--data'")
    typer.echo(plan.explain(**chosen, schema=data, tables=parse_tables(table)))


@app.command()
def version() -> None:
    """Show the versions of fastfeat, its libraries, Python and the platform."""
    import platform
    from importlib.metadata import version as version_of

    for name in ("fastfeat", "numba", "llvmlite", "numpy", "pyarrow"):
        typer.echo(f"{name} {version_of(name)}")
    typer.echo(f"python {platform.python_version()}, {platform.system()} {platform.machine()}")


GATES: Mapping[str, Callable[..., GateResult]] = {
    "check": contracts.check,
    "diff": diff.diff,
    "drift": drift.drift,
    "inspect": inspect.inspect,
    "verify": verify.verify,
    "replay": live.replay,
}
"""The commands that judge; each returns its findings, which `gates` reports."""

for name, gate in GATES.items():
    app.command(name)(gate_command(name, gate))
app.command("infer-contract")(contracts.infer_contract)
app.command("quarantine")(contracts.quarantine)
app.command()(bench.bench)
app.command()(report.report)
app.command()(live.serve)
app.command()(live.stream)


@cache.command()
def info() -> None:
    """Show the cache folder, the number of compiled kernels, and their total size."""
    from fastfeat.engine.kernel_cache import cache_folder, is_code, written_files

    n_kernels, n_bytes = 0, 0
    for file in written_files():
        with suppress(FileNotFoundError):  # another process may clear at the same time
            n_bytes += file.stat().st_size
            n_kernels += is_code(file)
    typer.echo(f"{cache_folder()}: {counted(n_kernels, 'kernel')}, {n_bytes / 2**20:.1f} MiB")


@cache.command()
def clear() -> None:
    """Delete all compiled kernels; they are compiled again when needed."""
    from fastfeat.engine.kernel_cache import written_files

    files = written_files()
    for file in files:
        file.unlink(missing_ok=True)
    typer.echo(f"removed {counted(len(files), 'file')}")
