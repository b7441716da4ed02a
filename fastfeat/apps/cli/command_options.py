"""Options of the commands, a row an option and a class a command; `serve` and `stream` have others.

The commands, `--help` and the docs read them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from fastfeat_kernels.records import dataclass

from fastfeat.calls.options import TEXT, FilePath, Option, PythonValue
from fastfeat.ir.parameters import Several, Whole

_ROWS = PythonValue("rows")
_TABLES = PythonValue("tables by name")
_COLUMNS = Several(TEXT)
_COUNT = Whole(1)

_History = Annotated[
    str | None,
    Option('Earlier rows, which windows see; "batch" if DATA contains its own past.', _ROWS),
]
_LookupTables = Annotated[
    list[str] | None,
    Option(
        "A lookup table that the plan reads; may be repeated.",
        _TABLES,
        placeholder="NAME=FILE",
        flag="--table",
    ),
]
_RuleTables = Annotated[
    list[str] | None,
    Option(
        "A lookup table that rules read; may be repeated.",
        _TABLES,
        placeholder="NAME=FILE",
        flag="--table",
    ),
]
_Memory = Annotated[
    str | None,
    Option(
        "Memory limit of the process, such as 600MiB; DATA is then read in chunks.",
        TEXT,
        placeholder="BYTES",
    ),
]
_Backend = Annotated[str, Option("cpu, gpu or reference (slow); all give the same bits.", TEXT)]
_Clock = Annotated[
    str | None,
    Option(
        'Time of the check for rules that read the clock: ISO 8601, or "now".',
        TEXT,
        placeholder="TIME",
    ),
]
_ThresholdsFile = Annotated[
    Path | None,
    Option(
        "Limits that decide what counts as a finding; one section per command.",
        FilePath(must_exist=True),
        placeholder="TOML",
    ),
]
_TypesOfData = Annotated[
    str | None,
    Option(
        "Data to take the column types from, if FILE is not fitted; only its head is read.",
        _ROWS,
        placeholder="DATA",
        flag="--data --schema",
    ),
]
_OUT = "-o --out"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """The options of `demo`."""

    folder: Annotated[Path, Option("Output folder.", FilePath(), flag="--dir")] = Path("demo")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """The options of `fit`."""

    out: Annotated[Path, Option("Output file for the fitted plan.", FilePath(), flag=_OUT)]
    history: _History = None
    tables: _LookupTables = None
    backend: _Backend = "cpu"
    memory: _Memory = None
    contract: Annotated[
        Path | None,
        Option(
            "Contract: rules that DATA and later rows must meet.", FilePath(), placeholder="JSON"
        ),
    ] = None
    stable: Annotated[
        Path | None,
        Option(
            "An earlier fitted plan; its categories keep their codes.",
            FilePath(),
            placeholder="FITTED",
        ),
    ] = None
    features: Annotated[
        Path | None,
        Option(
            "Output file or folder for the features of DATA; target encodings are out of fold.",
            FilePath(),
            placeholder="OUT",
        ),
    ] = None
    profile: Annotated[
        bool,
        Option(
            "Keep a profile of the rows, for `drift`, `report` and `serve --drift`. It contains "
            "values of single rows."
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformOptions:
    """The options of `transform`."""

    out: Annotated[
        Path,
        Option(
            "Output file: Parquet, Arrow IPC, Feather, CSV or TSV by its suffix. Without a suffix, "
            "an output folder.",
            FilePath(),
            flag=_OUT,
        ),
    ]
    history: _History = None
    tables: _LookupTables = None
    backend: _Backend = "cpu"
    memory: Annotated[
        str | None,
        Option("Memory limit of the process, such as 600MiB.", TEXT, placeholder="BYTES"),
    ] = None
    format: Annotated[
        str | None,
        Option("Format of an output folder: parquet, ipc, csv, tsv, delta or lance.", TEXT),
    ] = None
    partition_by: Annotated[
        list[str] | None,
        Option(
            "Partition an output folder by this column; may be repeated.",
            _COLUMNS,
            placeholder="COLUMN",
        ),
    ] = None
    part_rows: Annotated[
        int | None,
        Option("Rows per part of an output folder. By default a part has about 256 MiB.", _COUNT),
    ] = None
    on_violation: Annotated[
        Literal["reject", "quarantine", "warn", "ignore"] | None,
        Option(
            "Treatment of rows that break the plan's contract: reject, quarantine, warn or ignore. "
            "By default each rule decides."
        ),
    ] = None
    quarantined: Annotated[
        Path | None,
        Option(
            "Output file or folder for the rows that `--on-violation quarantine` removes.",
            FilePath(),
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """The options of `compile`."""

    schema: Annotated[
        str | None,
        Option(
            "Data to take the column types from, if FILE is not fitted; only its head is read.",
            _ROWS,
            placeholder="DATA",
        ),
    ] = None
    tables: _LookupTables = None
    backend: _Backend = "cpu"
    profile: Annotated[bool, Option("Also compile the kernels of `fit --profile`.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """The options of `explain`."""

    stage: Annotated[
        str | None,
        Option(
            "What to show: plan, leakage, live, bound, optimized, schedule, passes (of fit over "
            "DATA), physical, cpu or cuda (kernels), pandas or polars (features as code).",
            TEXT,
        ),
    ] = None
    data: _TypesOfData = None
    tables: _LookupTables = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """The options of `check`."""

    history: Annotated[str | None, Option("Earlier rows, which windows in rules see.", _ROWS)] = (
        None
    )
    tables: _RuleTables = None
    clock: _Clock = None
    memory: _Memory = None
    thresholds: _ThresholdsFile = None
    verbose: Annotated[bool, Option("Also list the rules that are met.", flag="--verbose -v")] = (
        False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineOptions:
    """The options of `quarantine`."""

    accepted: Annotated[
        Path, Option("Output file or folder for the rows that meet the rules.", FilePath())
    ]
    quarantined: Annotated[
        Path,
        Option(
            "Output file or folder for the other rows, with the rules that each one breaks.",
            FilePath(),
        ),
    ]
    tables: _RuleTables = None
    memory: _Memory = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InferContractOptions:
    """The options of `infer-contract`."""

    out: Annotated[Path, Option("Output file for the contract, as JSON.", FilePath(), flag=_OUT)]
    key: Annotated[
        list[str] | None,
        Option(
            "Key column; may be repeated. No two rows may have the same key.",
            _COLUMNS,
            placeholder="COLUMN",
        ),
    ] = None
    exclude: Annotated[
        list[str] | None,
        Option(
            "Column to leave out of the contract; may be repeated.", _COLUMNS, placeholder="COLUMN"
        ),
    ] = None
    memory: _Memory = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InferPlanOptions:
    """The options of `infer-plan`."""

    out: Annotated[Path, Option("Output file for the plan, as Python.", FilePath(), flag=_OUT)]
    label: Annotated[str | None, Option("Column that a model is to predict.", TEXT)] = None
    time: Annotated[str | None, Option("Column with the time of a row.", TEXT)] = None
    entity: Annotated[
        str | None,
        Option("Column with the entity of a row, such as a customer; it needs --time.", TEXT),
    ] = None
    exclude: Annotated[
        list[str] | None,
        Option("Column to leave out; may be repeated.", _COLUMNS, placeholder="COLUMN"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOptions:
    """The options of `diff`."""

    data: Annotated[
        str | None,
        Option(
            "Sample rows to compare the features on. By default the golden rows of A.",
            _ROWS,
            placeholder="DATA",
        ),
    ] = None
    history: _History = None
    tables: _LookupTables = None
    finding: Annotated[
        list[str] | None,
        Option(
            "Kind of change that counts as a finding: major, minor or refit; may be repeated. By "
            "default major.",
            _COLUMNS,
            placeholder="VERDICT",
        ),
    ] = None
    thresholds: _ThresholdsFile = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftOptions:
    """The options of `drift`."""

    reference: Annotated[
        str | None,
        Option("Rows to compare with instead of the training rows, such as last year's.", _ROWS),
    ] = None
    reference_history: Annotated[
        str | None,
        Option(
            "Earlier rows, which windows of --reference see. By default --reference contains its "
            "own past.",
            _ROWS,
        ),
    ] = None
    by: Annotated[
        list[str] | None,
        Option(
            "Also compare the rows of each value of this column; may be repeated.",
            _COLUMNS,
            placeholder="COLUMN",
        ),
    ] = None
    history: _History = None
    tables: _LookupTables = None
    memory: _Memory = None
    backend: _Backend = "cpu"
    thresholds: _ThresholdsFile = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectOptions:
    """The options of `inspect`."""

    few: Annotated[int, Option("Report keys with fewer training rows than this.", _COUNT)] = 10
    strict: Annotated[
        bool, Option("Exit with code 1 if a part contains values of single rows.")
    ] = False
    golden: Annotated[
        bool, Option("Also recompute the golden rows; exit with code 3 if bits differ.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """The options of `verify`."""

    rows: Annotated[
        int,
        Option(
            "Sample size: evenly spaced rows, or whole entities if the plan has windows.", _COUNT
        ),
    ] = 1000
    backend: Annotated[
        list[str] | None,
        Option("A further backend to compare: gpu; may be repeated.", Several(TEXT)),
    ] = None
    history: _History = None
    tables: _LookupTables = None
    memory: _Memory = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """The options of `replay`."""

    head: Annotated[
        str | None,
        Option(
            "A link that was recorded elsewhere; STATE must contain it.", TEXT, placeholder="LINK"
        ),
    ] = None
    to: Annotated[
        Path | None,
        Option("Output file for the served features as training data, in Parquet.", FilePath()),
    ] = None
    plan: Annotated[
        str | None, Option("Name of the plan to write features of, if STATE has several.", TEXT)
    ] = None
    outcomes: Annotated[
        Path | None,
        Option("Late columns by row id, for labels that STATE lacks.", FilePath()),
    ] = None
    partial: Annotated[
        bool, Option("Write the --to file even if STATE no longer has all rows.")
    ] = False
    archive: Annotated[
        Path | None,
        Option("Archive of STATE, if the folder was moved.", FilePath(), placeholder="FOLDER"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """The options of `export`."""

    form: Annotated[str, Option("The form: c.", TEXT)] = "c"
    name: Annotated[
        str | None, Option("Beginning of all names in the code; row_features by default.", TEXT)
    ] = None
    partial: Annotated[bool, Option("Leave out features that cannot be written.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifyOptions:
    """The options of `certify`."""

    fitted: Annotated[
        Path | None,
        Option("The fitted plan of EXPORT, which must be given.", FilePath(must_exist=True)),
    ] = None
    engine: Annotated[str | None, Option("The C compiler: cc by default, or a path.", TEXT)] = None
    rows: Annotated[
        int | None, Option("Number of rows of DATA to compare; all by default.", _COUNT)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """The options of every command that judges: `check`, `diff`, `drift`, `verify` and others."""

    as_json: Annotated[bool, Option("Print the report as JSON.", flag="--json")] = False
    junit: Annotated[
        Path | None,
        Option("Also write the report as JUnit XML, for CI.", FilePath(), placeholder="XML"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """The options of `bench`."""

    history: _History = None
    tables: _LookupTables = None
    against: Annotated[str, Option("Libraries to compare with, separated by commas.", TEXT)] = (
        "pandas,polars"
    )
    threads: Annotated[int, Option("Number of threads of each library.", _COUNT)] = 2
    runs: Annotated[int, Option("Runs of each stage; the median is reported.", _COUNT)] = 7
    as_json: Annotated[bool, Option("Print JSON instead of a table.", flag="--json")] = False
    picture: Annotated[
        Path | None,
        Option("Output file for a bar chart of the ratios.", FilePath(), placeholder="SVG"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """The options of `report`."""

    out: Annotated[
        Path, Option("Output file for the page.", FilePath(), placeholder="HTML", flag=_OUT)
    ]
    title: Annotated[str | None, Option("Title of the page. By default the file name.", TEXT)] = (
        None
    )
    history: _History = None
    tables: _LookupTables = None
    clock: _Clock = None
    thresholds: _ThresholdsFile = None
    memory: _Memory = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportStateOptions:
    """The options of `state export`."""

    out: Annotated[
        Path,
        Option(
            "Output file: Parquet, Arrow IPC, Feather, CSV or TSV by its suffix.",
            FilePath(),
            flag=_OUT,
        ),
    ]
    table: Annotated[
        str | None,
        Option("Export this lookup table instead of the rows.", TEXT, placeholder="NAME"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuCheckOptions:
    """The options of `gpu check`."""

    out: Annotated[
        Path | None, Option("Output file for the report, as JSON.", FilePath(), flag=_OUT)
    ] = None
    backend: Annotated[
        str, Option("Backend to check: gpu, or another one for comparison.", TEXT)
    ] = "gpu"
    rows: Annotated[
        int, Option("Number of rows for the speed measurement; 0 skips it.", Whole(0))
    ] = 1 << 27


COMMANDS: dict[str, tuple[type, ...]] = {
    "demo": (DemoOptions,),
    "fit": (FitOptions,),
    "transform": (TransformOptions,),
    "compile": (CompileOptions,),
    "explain": (ExplainOptions,),
    "check": (CheckOptions, GateOptions),
    "quarantine": (QuarantineOptions,),
    "infer-contract": (InferContractOptions,),
    "infer-plan": (InferPlanOptions,),
    "diff": (DiffOptions, GateOptions),
    "drift": (DriftOptions, GateOptions),
    "inspect": (InspectOptions, GateOptions),
    "verify": (VerifyOptions, GateOptions),
    "replay": (ReplayOptions, GateOptions),
    "export": (ExportOptions,),
    "certify": (CertifyOptions, GateOptions),
    "bench": (BenchOptions,),
    "report": (ReportOptions,),
    "state export": (ExportStateOptions,),
    "gpu check": (GpuCheckOptions,),
}
"""The tables of options of each command, by its name."""
