"""Changes of learnt values: single values, values per key, and codes of categories.

Plan `a` is the earlier plan and `b` the later one. A vocabulary is the learnt list of the
categories of a key: the code of a category is its position in the vocabulary, plus the number of
codes for missing and unseen keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.aggregates.keys import Groups, Vocabulary, reorder_keys
from fastfeat.errors import counted
from fastfeat.execute.fitted import Fitted
from fastfeat.io.columns.keys import places_in
from fastfeat.io.columns.times import python_value
from fastfeat.ir.node import Aggregate, Call, Node, postorder
from fastfeat.ir.show import show
from fastfeat.keep.state import aggregates_of
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower import indicators
from fastfeat.steps.keys.rows import category_texts
from fastfeat.trust.quality.changes.record import Change, shown

_MOST_SHOWN = 3
_MOST_NAMED = 1000
"""Limit on the categories that a change lists; the most frequent ones are kept."""


def changes_learnt(a: Fitted, b: Fitted) -> Iterator[Change]:
    """Yield a change for each value that both plans learn and that differs."""
    pair_of = _pairs(a, b)
    yield from _codes(a, b, pair_of)
    yield from _values(a, b, pair_of)
    yield from _zones(a, b)


def _common(a: Fitted, b: Fitted) -> list[Aggregate]:
    """Return the aggregates that both plans learn, from equal expressions."""
    known = set(aggregates_of(b.declaration.nodes.values()))
    return [one for one in aggregates_of(a.declaration.nodes.values()) if one in known]


def _values(a: Fitted, b: Fitted, pair_of: PairOf) -> Iterator[Change]:
    """Yield a change for each learnt value that differs, whether over all rows or per key.

    Vocabularies with changed codes in features are left to `_codes`.
    """
    codes = {node.args[-1] for node in set(_encoders_shown(a)) & set(_encoders_shown(b))}
    for one in _common(a, b):
        before, after = a.learnt[one], b.learnt[one]
        if isinstance(before, Vocabulary) and isinstance(after, Vocabulary):
            pair = pair_of(one)
            if one not in codes or not (pair.n_recoded or len(pair.added)):
                yield from _recounted_keys(one, pair)
        elif isinstance(before, Groups) and isinstance(after, Groups):
            yield from _of_groups(one, pair_of(one.args[1].args[-1]), before, after)
        elif not _are_equal(before, after):
            yield _of_value(a, b, one)


def _encoders_shown(fitted: Fitted) -> list[Call]:
    """Return the calls that encode categories and give the values of a feature.

    One-hot columns are left out, since they are matched by name.
    """
    roots = fitted.declaration.nodes.values()
    return code_plans.visible_codes(node for node in roots if not indicators.is_one_hot(node))


def _are_equal(before: Any, after: Any) -> bool:
    """Return whether two learnt values are equal; NaN equals NaN, and -0.0 differs from 0.0."""
    return type(before) is type(after) and repr(before) == repr(after)


def _of_value(a: Fitted, b: Fitted, one: Aggregate) -> Change:
    """Return the change of one value that both plans learn from all rows."""
    before, after = a.learnt[one], b.learnt[one]
    if isinstance(before, tuple) and isinstance(after, tuple):
        return _change_of(one, before, after, _of_tables(before, after))
    was, now = (python_value(f.learnt[one], f.types[one]) for f in (a, b))
    more = ""
    if isinstance(was, int | float) and isinstance(now, int | float) and was:
        more = f" (relative change {(now - was) / abs(was):+.3g})"
    return _change_of(one, was, now, f"{shown(was)} -> {shown(now)}{more}")


def _change_of(one: Aggregate, before: Any, after: Any, told: str) -> Change:
    return Change("learnt value changed", show(one), before, after, told)


def _of_tables(before: Sequence[float], after: Sequence[float]) -> str:
    """Return the change of a learnt table in words, such as the edges of bins."""
    if len(before) != len(after):
        return f"{counted(len(before), 'value')} -> {len(after):,}"
    differ = [k for k, (x, y) in enumerate(zip(before, after, strict=True)) if not _are_equal(x, y)]
    k = max(differ, key=lambda k: abs(after[k] - before[k]))
    n_all = counted(len(before), "value")
    return f"{len(differ):,} of {n_all} changed, most of all {before[k]!r} -> {after[k]!r}"


@dataclass(frozen=True, slots=True, eq=False)
class VocabularyPair:
    """Two vocabularies of the same key, with the index of each category in the other vocabulary.

    Args:
        before: Vocabulary of the first plan.
        after: Vocabulary of the second plan.
        places: Index in `after` of each category of `before`, -1 if absent; `(n_before,)`.
        back: Index in `before` of each category of `after`, -1 if absent; `(n_after,)`.
    """

    before: Vocabulary
    after: Vocabulary
    places: NDArray[np.int64]
    back: NDArray[np.int64]

    @staticmethod
    def of(before: Vocabulary, after: Vocabulary) -> VocabularyPair:
        """Return two vocabularies with the index of each category in the other vocabulary."""
        places = places_in(before.parts, after.parts)
        back = np.full(len(after), -1, np.int64)
        found = np.flatnonzero(places >= 0)
        back[places[found]] = found
        return VocabularyPair(before, after, places, back)

    @property
    def is_moved(self) -> NDArray[np.bool_]:
        """Whether each category of `before` has another index or none in `after`; `(n_before,)`."""
        return self.places != np.arange(len(self.before))

    @property
    def n_recoded(self) -> int:
        """The number of categories of `before` that have another code in `after`, or none."""
        return int(self.is_moved.sum())

    @property
    def added(self) -> NDArray[np.int64]:
        """The indices in `after` of the categories that `before` lacks; ascending."""
        return np.flatnonzero(self.back < 0)

    @property
    def share_before(self) -> float:
        """The share of the first fit's rows that get another code from the second plan."""
        return _share(self.before.counts[self.is_moved], self.before)

    @property
    def share_after(self) -> float:
        """The share of the second fit's rows that got another code from the first plan."""
        moved = (self.back >= 0) & (self.back != np.arange(len(self.after)))
        return _share(self.after.counts[moved], self.after)


PairOf = Callable[[Node], VocabularyPair]
"""Returns the matched vocabularies that two plans have learnt, or list, for an aggregate."""


def _pairs(a: Fitted, b: Fitted) -> PairOf:
    """Return a function that matches the two plans' vocabularies for a node, each only once."""

    @cache
    def pair_of(node: Node) -> VocabularyPair:
        before, after = (f.learnt.get(node) for f in (a, b))
        if isinstance(before, Vocabulary) and isinstance(after, Vocabulary):
            return VocabularyPair.of(before, after)
        raise AssertionError(show(node))

    return pair_of


def _share(counts: NDArray[np.int64], of: Vocabulary) -> float:
    return int(counts.sum()) / of.n_rows if of.n_rows else 0.0


def _codes(a: Fitted, b: Fitted, pair_of: PairOf) -> Iterator[Change]:
    """Yield a change for each encoder with codes that now mean another category, or new codes."""
    own, readers = set(_encoders_shown(b)), _first_readers(a)
    for codes in _encoders_shown(a):
        learnt = codes.args[-1]
        if codes not in own or not isinstance(learnt, Aggregate):
            continue  # a list in the declaration, so the feature's definition shows the change
        pair, name = pair_of(learnt), readers[codes]
        n_before = 1 + int(dict(codes.params)["n_unseen"])
        if pair.n_recoded:
            yield _reassigned_codes(a, name, learnt, pair, n_before)
        if len(pair.added):
            yield _added_categories(b, name, learnt, pair, n_before)


def _first_readers(fitted: Fitted) -> dict[Node, str]:
    """Return the name of the first feature that uses each node."""
    first: dict[Node, str] = {}
    for name, expression in fitted.declaration.features.items():
        nodes = [fitted.declaration.nodes[name + suffix] for suffix in expression.suffixes]
        for node in postorder(nodes):
            first.setdefault(node, name)
    return first


def _reassigned_codes(
    fitted: Fitted, name: str, key: Aggregate, pair: VocabularyPair, first: int
) -> Change:
    """Return the change of an encoding with codes that now mean another category, or none.

    `name` is the feature that shows the codes, and `first` the code of the first category.
    """
    moved = np.flatnonzero(pair.is_moved)
    by_count = moved[np.argsort(-pair.before.counts[moved], kind="stable")]
    places = np.sort(by_count[:_MOST_NAMED])
    texts = _texts(fitted, key, pair.before, places)
    before, now = dict(zip(texts, places.tolist(), strict=True)), pair.places[places].tolist()
    was = {text: place + first for text, place in before.items()}
    after = {t: k + first if k >= 0 else None for t, k in zip(texts, now, strict=True)}
    rank = {place: k for k, place in enumerate(by_count[:_MOST_SHOWN].tolist())}
    largest = sorted((t for t, k in before.items() if k in rank), key=lambda t: rank[before[t]])
    examples = [f"{shown(text)} {was[text]} -> {after[text] or 'unseen'}" for text in largest]
    more = ", ..." if len(moved) > _MOST_SHOWN else ""
    n_lost = int((pair.places < 0).sum())
    lost = f", {n_lost:,} of them now unseen" if n_lost else ""
    has = "has" if pair.n_recoded == 1 else "have"
    told = (
        f"{pair.n_recoded:,} of {len(pair.before):,} categories {has} a new code{lost}: "
        f"{pair.share_before:.1%} of the rows of the first fit, {pair.share_after:.1%} of the "
        f"second ({', '.join(examples)}{more})"
    )
    return Change("codes reassigned", name, was, after, told)


def _texts(fitted: Fitted, key: Aggregate, of: Vocabulary, places: NDArray[np.int64]) -> list[str]:
    """Return the categories of a vocabulary at some indices as text.

    A "_" is appended to a text that equals an earlier one.
    """
    some = reorder_keys(places, of)
    assert isinstance(some, Vocabulary)
    found: dict[str, None] = {}
    for text in category_texts(some, [fitted.types[part] for part in key.args]):
        name = text
        while name in found:
            name += "_"
        found[name] = None
    return list(found)


def _added_categories(
    fitted: Fitted, name: str, key: Aggregate, pair: VocabularyPair, first: int
) -> Change:
    """Return the change of an encoding with codes for new categories.

    `name` is the feature that shows the codes, and `first` the code of the first category.
    """
    places = pair.added[:_MOST_NAMED]  # most frequent first
    texts = _texts(fitted, key, pair.after, places)
    after = {text: place + first for text, place in zip(texts, places.tolist(), strict=True)}
    share = _share(pair.after.counts[pair.added], pair.after)
    others = f" and {len(pair.added) - _MOST_SHOWN:,} more"
    examples = ", ".join(map(shown, texts[:_MOST_SHOWN]))
    told = f"{len(pair.added):,} new, in {share:.1%} of the rows of the second fit: {examples}"
    return Change("categories added", name, None, after, told + others * (len(texts) > _MOST_SHOWN))


def _recounted_keys(one: Aggregate, pair: VocabularyPair) -> Iterator[Change]:
    """Yield the change of keys that only group or count rows; nothing if keys and counts agree."""
    before, after = pair.before, pair.after
    n_lost, n_new = int((pair.places < 0).sum()), len(pair.added)
    there = np.flatnonzero(pair.places >= 0)
    n_other = int((before.counts[there] != after.counts[pair.places[there]]).sum())
    others = [f.n_missing for f in (before, after)], [f.n_rare for f in (before, after)]
    if not (n_lost or n_new or n_other or any(was != now for was, now in others)):
        return
    told = ", ".join(
        [
            f"{counted(len(before), 'key')} -> {len(after):,}",
            *([f"{n_new:,} new"] if n_new else []),
            *([f"{n_lost:,} gone"] if n_lost else []),
            *([f"{n_other:,} with a different count"] if n_other else []),
        ]
    )
    yield Change("learnt keys changed", _keys_text(one), len(before), len(after), told)


def _keys_text(one: Aggregate) -> str:
    return f"keys of {', '.join(map(show, one.args))}"


def _of_groups(
    one: Aggregate, pair: VocabularyPair, before: Groups, after: Groups
) -> Iterator[Change]:
    """Yield the change of an aggregate's values per key; nothing if they are equal."""
    known = pair.before, pair.after
    n_first = len(before.values) - len(known[0])
    there = np.flatnonzero(pair.places >= 0)
    of_a = np.concatenate([np.arange(n_first), there + n_first])
    of_b = np.concatenate([np.arange(n_first), pair.places[there] + n_first])
    x, y = before.values[of_a], after.values[of_b]
    has, had = after.present[of_b], before.present[of_a]
    differ = (had != has) | (had & has & (x != y))
    if not (differ.any() or len(pair.added) or (pair.places < 0).any()):
        return
    both = np.flatnonzero(differ & had & has)
    # these include the groups of missing keys and of keys without a code
    told = f"{int(differ.sum()):,} of {counted(len(differ), 'group')} changed"
    if len(both):
        k = both[np.argmax(np.abs(y[both].astype(float) - x[both].astype(float)))]
        told += f", most of all {x[k].item()!r} -> {y[k].item()!r}"
    yield Change("learnt value changed", show(one), len(known[0]), len(known[1]), told)


def _zones(a: Fitted, b: Fitted) -> Iterator[Change]:
    """Yield a change for each time zone for which the plans store different offsets from UTC."""
    zones: Mapping[str, Any] = a.zones
    for name, table in zones.items():
        if name in b.zones and b.zones[name] != table:
            told = "its transitions changed: calendar parts of the same instant may differ"
            yield Change("time zone changed", name, None, None, told)
