"""The rules of `infer_plan`: the features of a column, by the facts about its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from fastfeat_kernels.records import dataclass

from fastfeat.expr import Expr, col
from fastfeat.operators.windows import time_since_last, window
from fastfeat.trust.quality.column_facts import ColumnFacts, parts_of
from fastfeat.trust.quality.infer import IDS, words_of

MONEY = frozenset(
    {"amount", "balance", "charge", "charges", "cost", "costs", "debt", "earnings", "fare", "fee"}
    | {"fees", "income", "loan", "payment", "price", "revenue", "salary", "spend", "wage", "wages"}
)
"""Words in the names of columns with amounts of money."""
MOST_ONE_HOT = 40
"""Most distinct values of a column that is one-hot encoded."""
N_WORD_BUCKETS = 32
"""Number of columns with counts of words."""
FREE_TEXT_WORDS = 3
"""Mean number of words from which a text with many distinct values is free text."""
DISTINCT_SHARE = 0.9
"""Share of distinct values from which text and ids tell rows apart, and nothing else."""
FREE_TEXT_SHARE = 0.2
"""Share of distinct values from which a text of several words is free text."""
LEAST_ROWS_OF_DETERMINED = 20
"""Rows with a value that a column must have before it can be said to determine the label."""
ROWS_A_VALUE = 5
"""Rows with each value, on average, that such a column must have."""
ROWS_OF_PAST = 10
"""Rows of an entity that a mean of its past reads."""
MOST_PAST = 3
"""Most columns with features of the past."""
_EXACT = 1 - 1e-9
NoteKind = Literal["kept", "left out", "leak?"]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """The features of a column, or the reason for none.

    Args:
        kind: See `InferenceNote`.
        column: Name of the column.
        text: The reason.
        features: Names and expressions.
    """

    kind: NoteKind
    column: str
    text: str
    features: Sequence[tuple[str, Expr]] = ()


def candidates(
    name: str, facts: ColumnFacts, label: str | None, *, has_means: bool, seed: int
) -> list[Candidate]:
    """Return the features of a column.

    Args:
        name: The column.
        facts: The facts about its values.
        label: Name of the label; None without one.
        has_means: Whether the label has means.
        seed: Seed of the hashes of words.
    """
    left_out = _left_out(name, facts) or _leak(name, facts, label)
    if left_out is not None:
        return [left_out]
    x, dtype = col(name), facts.dtype
    assert dtype is not None
    if dtype.is_list:
        return [_kept(name, "a list: its length", [(f"{name}_len", x.list.len())])]
    if facts.n_values_of_parts is not None:
        return [_date(name, facts)]
    if dtype.name == "bool":
        return [_kept(name, "true or false", [(name, x)])]
    if facts.is_number and not _is_id(name):
        return [_kept(name, "text that holds numbers", [(name, x.str.to_float(strict=False))])]
    if dtype.name == "utf8" and _is_free_text(facts):
        return [_free_text(name, seed)]
    if dtype.name == "utf8" or _is_id(name):
        return [_category(name, facts, label if has_means else None)]
    return [_number(name, facts)]


def features_of_past(
    facts: Mapping[str, ColumnFacts], found: Iterable[Candidate], time: str, entity: str
) -> list[Candidate]:
    """Return features of an entity's earlier rows: of the first numbers that were kept."""
    past = window(rows=ROWS_OF_PAST, by=entity, time=time)
    numbers = [
        one.column
        for one in found
        if one.kind == "kept" and one.column != time and _is_past_number(one.column, facts)
    ]
    since = (f"{entity}_time_since_last", time_since_last(over=past))
    made = [_kept(entity, "the entity: the time since its last row", [since])]
    for name in numbers[:MOST_PAST]:
        features = [
            (f"{name}_previous", col(name).lag(1, over=past)),
            (f"{name}_mean_{ROWS_OF_PAST}", col(name).mean(over=past)),
        ]
        made.append(_kept(name, f"its past in the entity {entity!r}", features))
    return made


def _kept(name: str, text: str, features: Sequence[tuple[str, Expr]]) -> Candidate:
    return Candidate("kept", name, text, features)


def _is_number(facts: ColumnFacts) -> bool:
    return facts.dtype is not None and (facts.dtype.is_float or facts.dtype.is_integer)


def _is_past_number(name: str, facts: Mapping[str, ColumnFacts]) -> bool:
    return _is_number(facts[name]) and not facts[name].n_infinite and not _is_id(name)


def _is_id(name: str) -> bool:
    return not IDS.isdisjoint(words_of(name)[-1:])


def _is_free_text(facts: ColumnFacts) -> bool:
    is_varied = facts.n_distinct > FREE_TEXT_SHARE * facts.n_present
    return facts.n_tokens >= FREE_TEXT_WORDS and is_varied and facts.n_distinct > MOST_ONE_HOT


def _left_out(name: str, facts: ColumnFacts) -> Candidate | None:
    """Return the reason for no feature; None if the column can have some."""
    dtype = facts.dtype
    if dtype is None or dtype.name == "binary":
        return Candidate("left out", name, "plans do not read this type")
    if facts.n_present == 0:
        return Candidate("left out", name, "all values are missing")
    if dtype.is_list:
        return None
    if facts.n_distinct == 1 and facts.n_present == facts.n_rows:
        return Candidate("left out", name, "all values are equal")
    is_integer_or_text = dtype.is_integer or dtype.name == "utf8"
    is_apart = facts.n_distinct > DISTINCT_SHARE * facts.n_present
    if is_integer_or_text and is_apart and facts.format is None and facts.n_present >= ROWS_A_VALUE:
        is_code = dtype.name == "utf8" and not _is_free_text(facts) and not facts.is_number
        if is_code or _is_id(name) or _counts_rows(facts):
            return Candidate("left out", name, "nearly every row has its own value: an id")
    return None


def _counts_rows(facts: ColumnFacts) -> bool:
    """Return whether integers are all distinct and without gaps, as row numbers are."""
    if not _is_number(facts) or facts.n_infinite or facts.n_distinct < facts.n_present:
        return False
    return facts.most - facts.least < 2 * facts.n_rows and facts.n_rows >= LEAST_ROWS_OF_DETERMINED


def _leak(name: str, facts: ColumnFacts, label: str | None) -> Candidate | None:
    """Return the reason why a column may tell the label; None if it does not."""
    if label is None:
        return None
    wanted, words = " ".join(words_of(label)), " ".join(words_of(name))
    if len(wanted) > 2 and f" {wanted} " in f" {words} ":
        return Candidate("leak?", name, f"its name contains the name of the label, {label!r}")
    if facts.correlation is not None and abs(facts.correlation) >= _EXACT:
        return Candidate(
            "leak?", name, f"its correlation with {label!r} is {facts.correlation:+.0f}"
        )
    if facts.n_present < LEAST_ROWS_OF_DETERMINED:
        return None
    if facts.splits:
        return Candidate("leak?", name, f"one number of it separates the two values of {label!r}")
    if facts.determines and 1 < facts.n_distinct * ROWS_A_VALUE <= facts.n_present:
        return Candidate("leak?", name, f"rows with equal values have equal {label!r}")
    return None


def _number(name: str, facts: ColumnFacts) -> Candidate:
    x = col(name)
    if facts.n_infinite:
        features = [(name, x.fill_infinite(None))]
        return _kept(name, "a number: its infinite values are missing", features)
    if not MONEY.isdisjoint(words_of(name)) and facts.least >= 0:
        return _kept(name, "an amount of money: its logarithm", [(name, x.log1p())])
    return _kept(name, "a number", [(name, x)])


def _category(name: str, facts: ColumnFacts, label: str | None) -> Candidate:
    x = col(name)
    n = facts.n_distinct
    if n <= MOST_ONE_HOT and facts.dtype is not None and facts.dtype.name == "utf8":
        drop = "first" if n == 2 and facts.n_present == facts.n_rows else None
        return _kept(name, f"text with {n} values", [(name, x.one_hot_encode(drop=drop))])
    features = [(f"{name}_count", x.count_encode())]
    if label is None:
        features.append((name, x.ordinal_encode()))
        return _kept(name, f"{n:,} categories: codes, and counts", features)
    features.append((name, x.target_encode(label, folds=5)))
    return _kept(name, f"{n:,} categories: means of {label!r} out of fold, and counts", features)


def _free_text(name: str, seed: int) -> Candidate:
    x = col(name).str
    features = [
        (f"{name}_words", x.to_lowercase().str.hash_tokens(n_buckets=N_WORD_BUCKETS, seed=seed)),
        (f"{name}_n_words", x.token_count()),
        (f"{name}_length", x.len_chars()),
    ]
    return _kept(name, "free text: counts of its words, and its length", features)


def _date(name: str, facts: ColumnFacts) -> Candidate:
    counts = facts.n_values_of_parts or {}
    time = col(name)
    if facts.format is not None:
        time = time.str.to_datetime(facts.format, strict=False)
    features = [
        (f"{name}_{part}", getattr(time.dt, part)())
        for part in parts_of(facts)
        if counts.get(part, 0) > 1
    ]
    features.append((f"{name}_days", time.dt.epoch("d")))
    what = "a date or time" if facts.format is None else f"text that holds dates, {facts.format}"
    return _kept(name, f"{what}: its parts", features)
