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
    export,
    first_plan,
    gpu,
    inspect,
    live,
    report,
    verify,
)
from fastfeat.apps.cli.command_options import (
    CompileOptions,
    DemoOptions,
    ExplainOptions,
    FitOptions,
    TransformOptions,
)
from fastfeat.apps.cli.gate_result import GateResult
from fastfeat.apps.cli.gates import gate_command
from fastfeat.apps.cli.options import (
    AnyPlanFile,
    DataFile,
    FittedFile,
    PlanFile,
    with_options_of,
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
@with_options_of(DemoOptions)
def demo(*, options: DemoOptions) -> None:
    """Compute features of 336,776 real flights, and compare the times with pandas."""
    from fastfeat.apps.cli.demo_summary import print_summary
    from fastfeat.demo.run import run

    with show_progress("Starting", at_once=True, is_event=True) as step:
        outcome = run(options.folder, step)
    print_summary(outcome)
    if not outcome.report.ok:
        raise typer.Exit(1)


@app.command()
@with_options_of(FitOptions)
def fit(plan_file: PlanFile, data: DataFile, *, options: FitOptions) -> None:
    """Fit a plan to training data."""
    from fastfeat.apps.cli.plans import parse_tables, read_fitted, read_plan

    started = time.perf_counter()
    if options.features is not None and options.backend != "cpu":
        raise typer.BadParameter(
            f"only the CPU writes features, got --backend {options.backend}. Leave out --features "
            "or --backend",
            param_hint="'--features'",
        )
    with show_progress("Reading the plan", at_once=True) as step:
        plan = read_plan(plan_file)
        step(f"Fitting {counted(len(plan.declaration.nodes), 'feature')} on {data}")
        tables = parse_tables(options.tables)
        rules = None if options.contract is None else contracts.read_contract(options.contract)
        old = None if options.stable is None else read_fitted(options.stable)
        if options.features is None:
            fitted = plan.fit(
                data,
                history=options.history,
                tables=tables,
                backend=options.backend,
                memory=options.memory,
                contract=rules,
                profile=options.profile,
                stable=old,
            )
        else:
            fitted, _ = plan.fit_transform_to(
                data,
                options.features,
                memory=options.memory,
                history=options.history,
                tables=tables,
                contract=rules,
                profile=options.profile,
                stable=old,
            )
        fitted.save(options.out)
    typer.echo(
        f"{options.out}: {counted(len(plan.declaration.nodes), 'feature')}, "
        f"fitted on {counted(fitted.n_rows, 'row')} "
        f"in {time.perf_counter() - started:.2f} s"
    )


@app.command()
@with_options_of(TransformOptions)
def transform(
    fitted_file: FittedFile,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help='A file, a folder, a pattern such as "logs/*.parquet", or an address.',
        ),
    ],
    *,
    options: TransformOptions,
) -> None:
    """Compute the features of data. An interrupted output folder is continued."""
    from fastfeat.api.plan import load
    from fastfeat.apps.cli.plans import parse_tables
    from fastfeat.execute.call_rows import checked_call_rows
    from fastfeat.execute.layout import names_file

    started = time.perf_counter()
    if options.on_violation not in (None, "reject", "quarantine", "warn", "ignore"):
        raise typer.BadParameter(
            f"got {options.on_violation!r}: write reject, quarantine, warn or ignore",
            param_hint="'--on-violation'",
        )
    if (options.quarantined is None) != (options.on_violation != "quarantine"):
        raise typer.BadParameter(
            "write --quarantined FILE and --on-violation quarantine together, or neither",
            param_hint="'--quarantined'",
        )
    with show_progress("Reading the fitted plan", at_once=True) as step:
        fitted, tables = load(fitted_file), parse_tables(options.tables)
        n_columns = len(fitted.feature_names) + len(fitted.plan.keep)
        of_folder = options.format, options.partition_by, options.part_rows
        is_folder = any(of_folder) or not names_file(options.out)
        is_whole = not (is_folder or options.memory or options.quarantined)
        if fitted.plan.declaration.past_columns and is_whole:
            given = checked_call_rows(data, None, options.history, tables, options.backend)
            n_rows = _transform_whole(fitted, given, options.out, options.on_violation, step)
        else:
            step(f"Computing {counted(len(fitted.feature_names), 'feature')} of {data}")
            made = fitted.transform_to(
                data,
                options.out,
                format=options.format,
                partition_by=options.partition_by or (),
                part_rows=options.part_rows,
                history=options.history,
                tables=tables,
                backend=options.backend,
                memory=options.memory,
                on_violation=options.on_violation,
                quarantined=options.quarantined,
            )
            n_rows, apart = made.n_rows, made.quarantined
            if apart is not None:
                typer.echo(f"{options.quarantined}: {counted(apart.n_rows, 'quarantined row')}")
    typer.echo(
        f"{options.out}: {counted(n_columns, 'column')}, {counted(n_rows, 'row')} "
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
@with_options_of(CompileOptions)
def compile_kernels(file: AnyPlanFile, *, options: CompileOptions) -> None:
    """Compile the kernels of a plan ahead of time, for example in a container build."""
    from fastfeat.api.plan import Plan
    from fastfeat.apps.cli.plans import parse_tables, read_plan_or_fitted
    from fastfeat.engine.kernel_cache import cache_folder

    with show_progress("Reading the plan", at_once=True) as step:
        plan = read_plan_or_fitted(file)
        step("Compiling")
        if isinstance(plan, Plan):
            if options.schema is None:
                raise typer.BadParameter(
                    "an unfitted plan does not know its column types: add --schema DATA",
                    param_hint="'--schema'",
                )
            tables = parse_tables(options.tables)
            made = plan.compile(
                options.schema, tables=tables, backend=options.backend, profile=options.profile
            )
        elif options.schema is not None or options.tables:
            raise typer.BadParameter(_HAS_TYPES, param_hint="'--schema'")
        else:
            made = plan.compile(backend=options.backend)
    typer.echo(f"{cache_folder()}: {made}")


@app.command()
@with_options_of(ExplainOptions)
def explain(file: AnyPlanFile, *, options: ExplainOptions) -> None:
    """Show what a plan computes and learns, and which data it sees."""
    from fastfeat.api.plan import Plan
    from fastfeat.apps.cli.plans import parse_tables, read_plan_or_fitted
    from fastfeat.tell.explain import OF_DATA, TYPED

    plan = read_plan_or_fitted(file)
    chosen: dict[str, Any] = {} if options.stage is None else {"stage": options.stage}
    if options.data is None and options.stage in (*TYPED, OF_DATA) and isinstance(plan, Plan):
        raise typer.BadParameter(
            f"the stage {options.stage} of an unfitted plan needs the column types: add --data "
            "FILE",
            param_hint="'--stage'",
        )
    if options.data is None and not options.tables:
        typer.echo(plan.explain(**chosen))
        return
    if not isinstance(plan, Plan):
        of_fit = options.stage == OF_DATA
        told = "the stage passes needs an unfitted plan: give PLAN.py" if of_fit else _HAS_TYPES
        raise typer.BadParameter(told, param_hint="'--data'")
    typer.echo(plan.explain(**chosen, schema=options.data, tables=parse_tables(options.tables)))


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
    "certify": export.certify,
}
"""The commands that judge; each returns its findings, which `gates` reports."""

for name, gate in GATES.items():
    app.command(name)(gate_command(name, gate))
app.command("infer-contract")(contracts.infer_contract)
app.command("infer-plan")(first_plan.infer_plan)
app.command("quarantine")(contracts.quarantine)
app.command()(bench.bench)
app.command("export")(export.export)
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
