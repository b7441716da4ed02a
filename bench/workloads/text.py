"""Functions of text: short texts and long ones, of ASCII and of other characters too.

A feature is a number, so text results are followed by a test of their beginning, here and in every
peer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from bench import frames
from bench.compare import EXACT
from bench.workload import Contender, Target, Workload
from bench.workloads import categories

ASCII = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
OTHERS = "éüñøåçÉÜÑØžšДжяЖЯ漢字語のカ€–😀"
SHARE_OF_OTHERS = 0.1
N_DISTINCT = 20_000
N_TOKEN_BUCKETS = 32
SHORT, LONG = 8, 200
Function = Callable[[Any], Any]
pc: Any = compute  # its functions are made at import


def texts(n_bytes: int, *, others: bool) -> pa.Array:
    """Return distinct texts of about `n_bytes` bytes: words between spaces, also at the ends."""
    rng = np.random.default_rng(11)
    n_letters = N_DISTINCT * n_bytes * (2 if n_bytes == SHORT else 1)
    letters = rng.choice(list(ASCII), n_letters)
    if others:
        foreign = rng.random(n_letters) < SHARE_OF_OTHERS
        letters[foreign] = rng.choice(list(OTHERS), int(foreign.sum()))
    letters[rng.random(n_letters) < 1 / 7] = " "
    lengths = rng.integers(n_bytes // 2, n_bytes + n_bytes // 2, N_DISTINCT)
    ends, whole = np.cumsum(lengths), "".join(letters)
    return pa.array([whole[end - n : end] for end, n in zip(ends, lengths, strict=True)])


def generate(n_bytes: int, others: bool, n_rows: int) -> pa.Table:
    """Return a column of text, drawn from distinct ones; one row of 50 is missing."""
    rng = np.random.default_rng(12)
    places = pa.array(rng.integers(0, N_DISTINCT, n_rows), mask=rng.random(n_rows) < 0.02)
    return pa.table({"s": texts(n_bytes, others=others).take(places)})


def generate_views(n_rows: int) -> pa.Table:
    """Return short texts of ASCII as string views, as Polars keeps them."""
    return generate(SHORT, False, n_rows).cast(pa.schema({"s": pa.string_view()}))


def generate_dictionary(n_rows: int) -> pa.Table:
    """Return long texts with other characters as a dictionary."""
    column = generate(LONG, True, n_rows)["s"].combine_chunks()
    return pa.table({"s": column.dictionary_encode()})


def generate_numbers(n_rows: int) -> pa.Table:
    """Return decimals of up to nine digits."""
    numbers = np.random.default_rng(13).integers(-(10**9), 10**9, N_DISTINCT) / 1000
    places = np.random.default_rng(14).integers(0, N_DISTINCT, n_rows)
    return pa.table({"s": pa.array([str(number) for number in numbers]).take(pa.array(places))})


def fastfeat(function: Function, table: pa.Table) -> Callable[[], Any]:
    """Return a call of `transform`."""
    import fastfeat as ff

    fitted = ff.Plan({"f": function(ff.col("s"))}).fit(table.slice(0, 1000))
    return lambda: fitted.transform(table)


def polars(engine: str, function: Function, table: pa.Table) -> Callable[[], Any]:
    """Return a call of one expression."""
    import polars as pl

    frame, column = frames.to_polars(table), pl.col("s")
    wanted = function(column.cast(pl.String) if frame["s"].dtype == pl.Categorical else column)
    if engine == "eager":
        return lambda: frame.select(wanted)
    return lambda: frames.collect(frame.lazy().select(wanted), engine)


def pyarrow(function: Function, table: pa.Table) -> Callable[[], Any]:
    """Return a call of compute functions."""
    column = table["s"].combine_chunks()
    if pa.types.is_dictionary(column.type):
        entries, codes = column.dictionary, column.indices
        return lambda: pa.table({"f": function(entries).take(codes)})
    return lambda: pa.table({"f": function(column)})


def pandas(function: Function, table: pa.Table) -> Callable[[], Any]:
    """Return a call on an Arrow-backed series."""
    import pandas as pd

    series = table["s"].to_pandas(types_mapper=pd.ArrowDtype)
    return lambda: function(series)


def duckdb(query: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of one query."""
    connection = frames.to_duckdb(table)
    return lambda: connection.execute(f"SELECT {query} AS f FROM kept").to_arrow_table()


def of_series(series: Any) -> pa.Table:
    """Return an Arrow-backed series as a table."""
    return pa.table({"f": pa.array(series, from_pandas=True)})


@dataclass(frozen=True, slots=True)
class Work:
    """The same function in every library; None for a library without it.

    Args:
        name: Part of the workload's name.
        what: Description in words.
        fastfeat, polars: Function of an expression.
        pyarrow: Function of an array.
        pandas: Function of a series.
        duckdb: SQL expression of the column s.
    """

    name: str
    what: str
    fastfeat: Function
    polars: Function
    pyarrow: Function
    pandas: Function | None
    duckdb: str


LITERAL = "e7"
START = "a"
LENGTH_IN_BYTES = Work(
    "len_bytes",
    "number of bytes",
    lambda s: s.str.len_bytes(),
    lambda s: s.str.len_bytes(),
    pc.binary_length,
    None,
    "strlen(s)",
)
LENGTH = Work(
    "len_chars",
    "number of characters",
    lambda s: s.str.len_chars(),
    lambda s: s.str.len_chars(),
    pc.utf8_length,
    lambda s: s.str.len(),
    "length(s)",
)
LOWERCASE = Work(
    "lowercase",
    "lower case, and how it starts",
    lambda s: s.str.to_lowercase().str.starts_with(START),
    lambda s: s.str.to_lowercase().str.starts_with(START),
    lambda s: pc.starts_with(pc.utf8_lower(s), START),
    lambda s: s.str.lower().str.startswith(START),
    f"starts_with(lower(s), '{START}')",
)
UPPERCASE = Work(
    "uppercase",
    "upper case, and how it starts",
    lambda s: s.str.to_uppercase().str.starts_with("A"),
    lambda s: s.str.to_uppercase().str.starts_with("A"),
    lambda s: pc.starts_with(pc.utf8_upper(s), "A"),
    lambda s: s.str.upper().str.startswith("A"),
    "starts_with(upper(s), 'A')",
)
STRIP = Work(
    "strip",
    "without spaces at its ends, and how it starts",
    lambda s: s.str.strip_chars().str.starts_with(START),
    lambda s: s.str.strip_chars().str.starts_with(START),
    lambda s: pc.starts_with(pc.utf8_trim_whitespace(s), START),
    lambda s: s.str.strip().str.startswith(START),
    f"starts_with(trim(s), '{START}')",
)
SLICE = Work(
    "slice",
    "characters 1 to 4, and how they start",
    lambda s: s.str.slice(1, 4).str.starts_with(START),
    lambda s: s.str.slice(1, 4).str.starts_with(START),
    lambda s: pc.starts_with(pc.utf8_slice_codeunits(s, 1, 5), START),
    lambda s: s.str.slice(1, 5).str.startswith(START),
    f"starts_with(substring(s, 2, 4), '{START}')",
)
CONTAINS = Work(
    "contains",
    "whether a plain text stands in it",
    lambda s: s.str.contains(LITERAL, literal=True),
    lambda s: s.str.contains(LITERAL, literal=True),
    lambda s: pc.match_substring(s, LITERAL),
    lambda s: s.str.contains(LITERAL, regex=False),
    f"contains(s, '{LITERAL}')",
)
STARTS_WITH = Work(
    "starts_with",
    "how it starts",
    lambda s: s.str.starts_with(START),
    lambda s: s.str.starts_with(START),
    lambda s: pc.starts_with(s, START),
    lambda s: s.str.startswith(START),
    f"starts_with(s, '{START}')",
)
PREFIX = "the quick brown fox"
LONG_PREFIX = Work(
    "long_prefix",
    "whether it starts with a text of 19 bytes",
    lambda s: s.str.starts_with(PREFIX),
    lambda s: s.str.starts_with(PREFIX),
    lambda s: pc.starts_with(s, PREFIX),
    lambda s: s.str.startswith(PREFIX),
    f"starts_with(s, '{PREFIX}')",
)


def chained(s: Any) -> Any:
    """Return the chain in the words that fastfeat and Polars share."""
    return (
        s.str.to_lowercase().str.strip_chars().str.replace("a", "bc", literal=True).str.len_chars()
    )


CHAIN = Work(
    "chain",
    "lower case, without spaces at its ends, a letter replaced, number of characters",
    chained,
    chained,
    lambda s: pc.utf8_length(
        pc.replace_substring(
            pc.utf8_trim_whitespace(pc.utf8_lower(s)), "a", "bc", max_replacements=1
        )
    ),
    lambda s: s.str.lower().str.strip().str.replace("a", "bc", n=1, regex=False).str.len(),
    "length(regexp_replace(trim(lower(s)), 'a', 'bc'))",
)
TO_FLOAT = Work(
    "to_float",
    "the number that it is",
    lambda s: s.str.to_float(),
    lambda s: s.cast(float),
    lambda s: s.cast(pa.float64()),
    lambda s: s.astype("double[pyarrow]"),
    "s::DOUBLE",
)
AIMS = {"chain": 2.0, "starts_with": 1.5}
"""Functions with a target, and the further aim."""
CAUSES = {"chain": "measured before a kernel replaced plain text"}
"""Reasons why a peer is faster, by function."""
FORMS: dict[str, tuple[str, int, Callable[[int], pa.Table]]] = {
    "short": ("short text", 5_000_000, partial(generate, SHORT, False)),
    "short_other": ("short text, not all ASCII", 5_000_000, partial(generate, SHORT, True)),
    "long": ("text of 200 bytes", 500_000, partial(generate, LONG, False)),
    "long_other": ("text of 200 bytes, not all ASCII", 500_000, partial(generate, LONG, True)),
    "views": ("short text as string views", 5_000_000, generate_views),
    "dictionary": ("text of 200 bytes as a dictionary", 5_000_000, generate_dictionary),
    "numbers": ("decimals as text", 5_000_000, generate_numbers),
}


def _workload(work: Work, form: str) -> Workload:
    what, n_rows, make = FORMS[form]
    peers = [
        Contender(f"Polars {engine}", "polars", partial(polars, engine, work.polars))
        for engine in ("eager", "streaming")
    ]
    if form != "views":  # Arrow's compute functions do not support them
        peers.append(Contender("pyarrow", "pyarrow", partial(pyarrow, work.pyarrow)))
        if work.pandas and form != "dictionary":
            peers.append(Contender("pandas", "pandas", partial(pandas, work.pandas), of_series))
    peers.append(Contender("DuckDB", "duckdb", partial(duckdb, work.duckdb)))
    return Workload(
        name=f"text_{work.name}_{form}",
        group="text",
        title=f"{what}: {work.what}",
        label=f"{work.name}, {what}",
        generate=make,
        rows=n_rows,
        smoke_rows=5_000,
        contenders=(Contender("fastfeat", "fastfeat", partial(fastfeat, work.fastfeat)), *peers),
        tolerance=EXACT,
        targets=(Target("ratio", 1, "polars", aim=AIMS[work.name]),) if work.name in AIMS else (),
        cause=CAUSES.get(work.name, ""),
    )


KINDS = ("short", "short_other", "long", "long_other")
FUNCTIONS = (
    _workload(LENGTH_IN_BYTES, "short"),
    *(
        _workload(work, form)
        for work in (LENGTH, LOWERCASE, STRIP, SLICE, CONTAINS, STARTS_WITH, CHAIN)
        for form in KINDS
    ),
    _workload(LONG_PREFIX, "long"),
    _workload(UPPERCASE, "long_other"),
    _workload(CONTAINS, "views"),
    _workload(LOWERCASE, "dictionary"),
    _workload(TO_FLOAT, "numbers"),
)


def hash_polars(table: pa.Table) -> Callable[[], Any]:
    """Return a call of Polars' hash, another function of 64 bits."""
    series = frames.to_polars(table)["s"]
    return lambda: series.hash()


def hash_pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call of pandas' hash, another function of 64 bits."""
    from pandas import util

    hashing: Any = util  # it has no types
    series = frames.to_pandas(table)["s"]
    return lambda: hashing.hash_array(series.to_numpy(), categorize=False)


def hash_duckdb(table: pa.Table) -> Callable[[], Any]:
    """Return a call of DuckDB's hash, another function of 64 bits."""
    connection = frames.to_duckdb(table)
    return lambda: connection.execute("SELECT hash(s) AS f FROM kept").to_arrow_table()


def groups_of(hashes: Any) -> np.ndarray:
    """Return the number of each row's hash, in order of first occurrence."""
    import pandas as pd

    if isinstance(hashes, pa.Table):
        hashes = hashes.column(0)
    return pd.factorize(np.asarray(hashes, np.uint64))[0]


def generate_present(n_bytes: int, n_rows: int) -> pa.Table:
    """Return a column of text without missing rows, which a peer would hash."""
    return (
        generate(n_bytes, True, n_rows)
        .cast(pa.schema({"s": pa.string()}))
        .filter(pc.field("s").is_valid())
    )


def _hash(form: str, n_bytes: int) -> Workload:
    what, n_rows, _ = FORMS[form]
    return Workload(
        name=f"text_hash_{form}",
        group="text",
        title=f"{what}: a hash of 64 bits",
        label=f"hash, {what}",
        generate=partial(generate_present, n_bytes),
        rows=n_rows,
        smoke_rows=5_000,
        contenders=(
            Contender("fastfeat", "fastfeat", partial(fastfeat, lambda s: s.hash()), groups_of),
            Contender("Polars", "polars", hash_polars, groups_of),
            Contender("DuckDB", "duckdb", hash_duckdb, groups_of),
            Contender("pandas", "pandas", hash_pandas, groups_of),
        ),
        tolerance=EXACT,
    )


def tokens_scikit_learn(table: pa.Table) -> Callable[[], Any]:
    """Return a call of HashingVectorizer, by another hash, into a sparse matrix."""
    from sklearn.feature_extraction.text import HashingVectorizer

    column = table["s"].to_pylist()
    unscaled: Any = None  # scikit-learn's annotation is of its default
    vectorizer = HashingVectorizer(
        n_features=N_TOKEN_BUCKETS,
        lowercase=False,
        token_pattern=r"\S+",
        alternate_sign=False,
        norm=unscaled,
    )
    return lambda: vectorizer.transform(column)


def tokens_of_row(counts: Any) -> np.ndarray:
    """Return the number of counted tokens in each row."""
    if isinstance(counts, pa.Table):
        return np.sum([column.to_numpy() for column in counts.columns], axis=0).astype(np.float64)
    return np.asarray(counts.sum(axis=1)).ravel()


TOKENS = Workload(
    name="text_hash_tokens",
    group="text",
    title="text of 200 bytes, not all ASCII: its words counted in 32 buckets",
    label="hash_tokens, text of 200 bytes",
    generate=partial(generate_present, LONG),
    rows=100_000,
    smoke_rows=1_000,
    contenders=(
        Contender(
            "fastfeat",
            "fastfeat",
            partial(fastfeat, lambda s: s.str.hash_tokens(N_TOKEN_BUCKETS)),
            tokens_of_row,
        ),
        Contender("scikit-learn", "scikit-learn", tokens_scikit_learn, tokens_of_row),
    ),
    tolerance=EXACT,
)


def generate_paragraphs(n_rows: int) -> pa.Table:
    """Return keys of 200 bytes with other characters."""
    return generate_present(LONG, n_rows).rename_columns(["k"])


def generate_zipf(n_rows: int) -> pa.Table:
    """Return short keys, one for each 100 rows: the i-th is 1 / i as frequent as the first."""
    n_distinct = max(1, n_rows // 100)
    shares = 1 / np.arange(1, n_distinct + 1)
    drawn = np.random.default_rng(15).random(n_rows) * shares.sum()
    places = np.minimum(np.searchsorted(np.cumsum(shares), drawn), n_distinct - 1)
    return pa.table({"k": categories.text(n_distinct, 12).take(pa.array(places))})


def _ordinal(name: str, what: str, make: Callable[[int], pa.Table], n_rows: int) -> Workload:
    return Workload(
        name=f"ordinal_{name}",
        group="text",
        title=f"ordinal_encode of {what}, fit + transform",
        label=f"codes of {what}",
        generate=make,
        rows=n_rows,
        smoke_rows=20_000,
        contenders=(
            *categories.FASTFEAT,
            *categories.JOINS,
            categories.PYARROW,
            categories.PANDAS,
            categories.DUCKDB,
        ),
        tolerance=EXACT,
    )


ORDINAL = (
    _ordinal("paragraphs", "text of 200 bytes", generate_paragraphs, 1_000_000),
    _ordinal("zipf", "short text by Zipf's law", generate_zipf, 10_000_000),
)

TEXT = (*ORDINAL, *FUNCTIONS, _hash("short_other", SHORT), _hash("long_other", LONG), TOKENS)
