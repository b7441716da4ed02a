"""All workloads, in the order of the report. A new one is a file here and a line below."""

from __future__ import annotations

from bench.workloads.asof import ASOF
from bench.workloads.boosters import BOOSTERS
from bench.workloads.calendar import CALENDAR
from bench.workloads.categories import CATEGORIES
from bench.workloads.category_counts import CATEGORY_COUNTS
from bench.workloads.comparisons import COMPARISONS
from bench.workloads.contracts import CONTRACTS
from bench.workloads.cross_fit import CROSS_FIT
from bench.workloads.drift import DRIFT
from bench.workloads.first_result import FIRST_RESULT
from bench.workloads.hand_over import HAND_OVER
from bench.workloads.hard_keys import HARD_KEYS
from bench.workloads.hard_windows import HARD_WINDOWS
from bench.workloads.keyed import KEYED
from bench.workloads.known_categories import KNOWN_CATEGORIES
from bench.workloads.larger_than_memory import LARGER_THAN_MEMORY
from bench.workloads.lists import LISTS
from bench.workloads.merging import MERGING
from bench.workloads.mixed import MIXED
from bench.workloads.one_hot import ONE_HOT
from bench.workloads.one_row import ONE_ROW
from bench.workloads.pipeline_step import PIPELINE_STEP
from bench.workloads.profiles import PROFILES
from bench.workloads.quantiles import QUANTILES
from bench.workloads.reports import REPORTS
from bench.workloads.retail import RETAIL
from bench.workloads.row_features import ROW_FEATURES, ROW_SCALING, ROW_THREADS
from bench.workloads.scalers import SCALER_WORKLOADS
from bench.workloads.sessions import SESSIONS
from bench.workloads.shapes import SHAPES
from bench.workloads.small_batches import SMALL_BATCHES
from bench.workloads.small_outputs import SMALL_OUTPUTS
from bench.workloads.statistics import STATISTICS_20, STATISTICS_THREADS
from bench.workloads.target_encoding import TARGET_ENCODING
from bench.workloads.text import TEXT
from bench.workloads.warnings import WARNINGS
from bench.workloads.wide import WIDE
from bench.workloads.windows import WINDOWS

WORKLOADS = (
    *ROW_FEATURES,
    *SMALL_BATCHES,
    *SMALL_OUTPUTS,
    *MIXED,
    *COMPARISONS,
    *WIDE,
    *STATISTICS_20,
    *CONTRACTS,
    *DRIFT,
    *PROFILES,
    *WARNINGS,
    *REPORTS,
    *SHAPES,
    *QUANTILES,
    *LARGER_THAN_MEMORY,
    *SCALER_WORKLOADS,
    *PIPELINE_STEP,
    *CALENDAR,
    *CATEGORIES,
    *KNOWN_CATEGORIES,
    *CATEGORY_COUNTS,
    *ONE_HOT,
    *KEYED,
    *MERGING,
    *TARGET_ENCODING,
    *ASOF,
    *HARD_KEYS,
    *WINDOWS,
    *CROSS_FIT,
    *RETAIL,
    *SESSIONS,
    *HARD_WINDOWS,
    *TEXT,
    *LISTS,
    *HAND_OVER,
    *BOOSTERS,
    *FIRST_RESULT,
    *ONE_ROW,
    *ROW_SCALING,
    *ROW_THREADS,
    *STATISTICS_THREADS,
)
