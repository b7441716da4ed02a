"""Changes of declarations: features, output columns and types, inputs, options and rules.

Plan `a` is the earlier plan and `b` the later one. A change is one difference between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from fastfeat.errors import counted, shortened
from fastfeat.execute.fitted import Fitted
from fastfeat.expr import Expr
from fastfeat.ir.node import Node
from fastfeat.ir.show import show, show_columns
from fastfeat.plan.declare.contract import Rule
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.tell.fitted_tables import features_of_columns
from fastfeat.trust.quality.changes.record import Change, shown


def changes_declared(a: Fitted, b: Fitted) -> Iterator[Change]:
    """Yield all changes between two plans, except changes of learnt values."""
    yield from _features(a, b)
    yield from _columns(a, b)
    yield from _inputs(a, b)
    yield from _options(a.declaration, b.declaration)
    yield from _rules(a, b)


def common_features(a: Fitted, b: Fitted) -> list[str]:
    """Return the names of the features that both plans define in the same way."""
    before, after = a.declaration.features, b.declaration.features
    return [name for name in before if name in after and _is_alike(a, b, name)]


def _is_alike(a: Fitted, b: Fitted, feature: str) -> bool:
    return _key_of(a.declaration, feature) == _key_of(b.declaration, feature)


def _key_of(plan: Declaration, feature: str) -> tuple[tuple[str, Node], ...]:
    """Return the name suffix and the expression of each column of a feature."""
    return tuple((of, plan.nodes[feature + of]) for of in plan.features[feature].suffixes)


def _features(a: Fitted, b: Fitted) -> Iterator[Change]:
    """Yield a change for each feature that is added, removed, or defined differently."""
    before, after = a.declaration.features, b.declaration.features
    added = {_key_of(b.declaration, name): name for name in after if name not in before}
    for name in before:
        text = _text(before[name])
        if name not in after:
            again = added.get(_key_of(a.declaration, name))
            told = f"was {text}" + (f", now named {shown(again)}" if again else "")
            yield Change("feature removed", name, text, None, told)
        elif not _is_alike(a, b, name):
            yield _rewritten(name, text, _text(after[name]))
    for name in after:
        if name not in before:
            text = _text(after[name])
            yield Change("feature added", name, None, text, text)


def _text(expression: Expr) -> str:
    return show_columns(expression.nodes)


def _rewritten(name: str, before: str, after: str) -> Change:
    """Return the change of a feature with another expression, or with another target.

    `before` and `after` are the expressions as text.
    """
    told = f"{before} -> {after}"
    if before == after:
        told = f"{before}, now learnt from another target"
    return Change("feature changed", name, before, after, told)


def _columns(a: Fitted, b: Fitted) -> Iterator[Change]:
    """Yield a change for each output column that is added, removed, retyped or moved."""
    alike = common_features(a, b)
    of_common = [_columns_of_features(fitted, alike) for fitted in (a, b)]
    types = [dict(zip(f.schema.names, map(str, f.schema.types), strict=True)) for f in (a, b)]
    places = [{name: k for k, name in enumerate(f.feature_names)} for f in (a, b)]
    for name, feature in of_common[0].items():
        if name not in places[1]:
            k = places[0][name]
            told = f"was column {k}, from feature {feature!r}"
            yield Change("column removed", name, k, None, told)
    for name, feature in of_common[1].items():
        if name not in places[0]:
            k = places[1][name]
            yield Change("column added", name, None, k, f"is column {k}, from feature {feature!r}")
    for name, dtype in types[0].items():
        now = types[1].get(name, dtype)
        if now != dtype:
            yield Change("feature retyped", name, dtype, now, f"{dtype} -> {now}")
    before, after = str(a.matrix_dtype), str(b.matrix_dtype)
    if before != after:
        told = f"{before} -> {after}, for all columns"
        yield Change("matrix retyped", "matrix", before, after, told)
    yield from _moved(a.feature_names, b.feature_names)


def _columns_of_features(fitted: Fitted, features: Sequence[str]) -> dict[str, str]:
    """Return the output columns of some features: the name of each column with its feature."""
    wanted = set(features)
    return {name: of for name, of in features_of_columns(fitted) if of in wanted}


def _moved(before: Sequence[str], after: Sequence[str]) -> Iterator[Change]:
    """Yield one change for all matrix columns with another position."""
    places = {name: k for k, name in enumerate(after)}
    moved = {n: k for k, n in enumerate(before) if places.get(n, k) != k}
    if moved:
        first = next(iter(moved))
        now = {name: places[name] for name in moved}
        examples = shortened([f"{n} {k} -> {now[n]}" for n, k in moved.items()], 3)
        told = f"{len(moved):,} of {counted(len(before), 'column')} moved: {examples}"
        yield Change("columns moved", first, moved, now, told)


def _inputs(a: Fitted, b: Fitted) -> Iterator[Change]:
    """Yield a change for each column of the data that transform newly reads, drops or retypes."""
    before, after = _types_read(a), _types_read(b)
    for name, dtype in before.items():
        if name not in after:
            yield Change("input removed", name, dtype, None, f"{dtype}, no longer read")
        elif after[name] != dtype:
            told = f"{dtype} -> {after[name]}"
            yield Change("input retyped", name, dtype, after[name], told)
    for name, dtype in after.items():
        if name not in before:
            yield Change("input added", name, None, dtype, f"{dtype}, now required in rows")
    of_training = (
        {name: str(dtype) for name, dtype in fitted.inputs.items() if name not in read}
        for fitted, read in ((a, before), (b, after))
    )
    yield from _training_inputs(*of_training)


def _training_inputs(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    """Yield a change for each column that only fit reads, if it is added, removed or retyped.

    `before` and `after` are the types of these columns in the two plans, by name.
    """
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name), after.get(name)
        if was != now:
            told = f"{was or 'not read'} -> {now or 'not read'}, in training rows only"
            yield Change("training input changed", name, was, now, told)


def _types_read(fitted: Fitted) -> dict[str, str]:
    """Return the type of each column that transform reads, by name; "table.column" for tables."""
    plan = fitted.declaration
    named = [*plan.row_columns, *plan.past_columns]
    own = {name: str(fitted.inputs[name]) for name in named if name in fitted.inputs}
    tables = {f"{c.table}.{c.name}": str(dtype) for c, dtype in fitted.table_columns.items()}
    return {**own, **tables}


def _options(a: Declaration, b: Declaration) -> Iterator[Change]:
    """Yield the changes of the options, of the label, and of columns that are passed through."""
    labels = [{name: show(node) for name, node in plan.label_nodes.items()} for plan in (a, b)]
    if a.label_nodes != b.label_nodes:
        before, after = (", ".join(f"{n} = {t}" for n, t in of.items()) or None for of in labels)
        told = f"{before or 'no label'} -> {after or 'no label'}"
        yield Change("label changed", next(iter(labels[0] | labels[1])), before, after, told)
    for name in (field.name for field in fields(a) if field.name not in _ELSEWHERE):
        before, after = (repr(getattr(plan, name)) for plan in (a, b))
        if before != after:
            kind = "declaration changed" if name in _OF_TRAINING else "option changed"
            yield Change(kind, name, before, after, f"{name}={before} -> {name}={after}")
    for name in a.keep:
        if name not in b.keep:
            yield Change("kept column removed", name, name, None, "is no longer passed through")
    for name in b.keep:
        if name not in a.keep:
            yield Change("kept column added", name, None, name, "is passed through")


_ELSEWHERE = frozenset({"features", "label", "keep", "recorded", "label_column"})
"""Fields of a declaration that are compared elsewhere, or follow from such fields."""
_OF_TRAINING = frozenset({"outcomes", "label_delay", "known", "known_tables", "known_clocks"})
"""Options that limit which values are learnt from; all others change features of the same rows."""


def _rules(a: Fitted, b: Fitted) -> Iterator[Change]:
    """Yield a change for each rule of the contract that is added, removed or changed."""
    before, after = _rules_of(a), _rules_of(b)
    for name, text in before.items():
        if name not in after:
            yield Change("rule removed", name, text, None, f"was {text}")
        elif after[name] != text:
            yield Change("rule changed", name, text, after[name], f"{text} -> {after[name]}")
    for name, text in after.items():
        if name not in before:
            yield Change("rule added", name, None, text, text)


def _rules_of(fitted: Fitted) -> dict[str, str]:
    """Return the rules of a plan's contract as text by name, with the required types of columns."""
    if fitted.contract is None:
        return {}
    declared = fitted.contract.declaration
    rules: Mapping[str, Rule] = declared.rules
    said = {name: repr(rule) for name, rule in rules.items()}
    return said | {f"type of {name}": str(dtype) for name, dtype in declared.types.items()}
