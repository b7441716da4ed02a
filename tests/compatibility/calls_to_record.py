"""The calls whose outcomes are recorded: every parameter of every public function, given badly.

`write_fixtures.py` records what comes of them; tests read the recorded calls, so that a function
that is added later changes nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import fastfeat as ff
from fastfeat import col

BAD = (
    *("None", "True", "-1", "0", "1.5", "float('nan')", "10**30", "'nonsense'", "[]"),
    *("col('y')", "['a', 3]"),
)
GOOD = {
    "alpha": "0.5",
    "by": "'shop'",
    "characters": "'a'",
    "classes": "[1, 2]",
    "closed": "'both'",
    "condition": "col('flag')",
    "decimals": "1",
    "drop": "'first'",
    "dtype": "'int64'",
    "edges": "[0, 1]",
    "every": "'1d'",
    "fold": "col('n')",
    "fold_by": "'card'",
    "format": "'%Y'",
    "gap": "'1d'",
    "half_life": "'2d'",
    "index": "0",
    "item": "1",
    "length": "2",
    "lower": "0",
    "mapping": "{1: 2}",
    "n": "2",
    "n_buckets": "8",
    "name": "'y'",
    "next": "'2d'",
    "offset": "1",
    "over": "WEEK",
    "pattern": "'a'",
    "period": "24",
    "prefix": "'a'",
    "q": "0.5",
    "suffix": "'a'",
    "target": "'delay'",
    "time": "'t'",
    "upper": "1",
    "value": "0.5",
    "values": "[1, 2]",
    "width": "2",
}
_OF = {
    ("qcut", "q"): "4",
    ("replace", "value"): "'b'",
    ("replace_all", "value"): "'b'",
    ("asof", "table"): "'payments'",
    ("lookup", "table"): "'shops'",
    ("cast", "dtype"): "'float32'",
    ("ewm_mean", "over"): "PAST",
    ("session_id", "over"): "PAST",
}
RECEIVERS = ("col('x')", "col('s')", "col('t')", "col('tags')")
NAMESPACES = {"str": "col('s').str", "dt": "col('t').dt", "list": "col('prices').list"}
FUNCTIONS = (
    *("ahead", "asof", "coalesce", "col", "columns", "count", "cross", "haversine", "lit"),
    *("lookup", "max_horizontal", "mean_horizontal", "min_horizontal"),
    *("polynomial_features", "session_id", "sum_horizontal", "time_since", "time_since_last"),
    *("when", "window"),
)


def calls() -> Iterator[str]:
    """Yield the calls, each once."""
    yield from dict.fromkeys(_calls())


def _calls() -> Iterator[str]:
    for name, method in _public(ff.Expr).items():
        yield from _of_method("col('x')", name, method, binds=True)
        for receiver in RECEIVERS:
            yield f"bound({receiver}.{name}({_given(name, method)}))"
        yield f"col('x').{name}({_given(name, method, leave_out=True)}nonsense=1)"
    for namespace, receiver in NAMESPACES.items():
        for name, method in _public(type(getattr(col("x"), namespace))).items():
            yield from _of_method(receiver, name, method, binds=True)
            for other in RECEIVERS:
                yield f"bound({other}.{namespace}.{name}({_given(name, method)}))"
    for name in FUNCTIONS:
        yield from _of_method("ff", name, getattr(ff, name), binds=False)
    yield from WRITTEN


def _public(cls: type) -> dict[str, Callable[..., Any]]:
    found = {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}
    return {name: value for name, value in found.items() if inspect.isfunction(value)}


def _of_method(
    receiver: str, name: str, method: Callable[..., Any], *, binds: bool
) -> Iterator[str]:
    """Yield a call with each parameter given badly, the others as they should be."""
    parameters = _parameters(method, is_method=receiver != "ff")
    for number, parameter in enumerate(parameters):
        for bad in BAD:
            others = [
                p.name for k, p in enumerate(parameters) if k != number and p.default is p.empty
            ]
            if parameter.kind is parameter.VAR_POSITIONAL:
                given = f"col('x'), {bad}"
            else:
                written = [f"{other}={_good(name, other)}" for other in others]
                given = ", ".join([*written, f"{parameter.name}={bad}"])
            call = f"{receiver}.{name}({given})"
            yield f"bound({call})" if binds else call


def _given(name: str, method: Callable[..., Any], *, leave_out: bool = False) -> str:
    """Return the arguments that a call needs, as they should be."""
    needed = [p for p in _parameters(method, is_method=True) if p.default is p.empty]
    written = [f"{p.name}={_good(name, p.name)}" for p in needed]
    return "".join(f"{text}, " for text in written) if leave_out else ", ".join(written)


def _parameters(method: Callable[..., Any], *, is_method: bool) -> list[inspect.Parameter]:
    return [*inspect.signature(method).parameters.values()][is_method:]


def _good(function: str, parameter: str) -> str:
    return _OF.get((function, parameter), GOOD.get(parameter, "col('y')"))


_PLAN_OPTIONS = (
    *("label", "outcomes", "dtype", "keep", "label_delay", "known", "known_tables"),
    *("known_clocks", "row_id"),
)
_DATA_CALLS = (
    "plan.fit({})",
    "plan.fit_transform({})",
    "windows.fit(train, history={})",
    "windows.fit(train, tables={})",
    "plan.fit(train, rows={})",
    "plan.fit(train, backend={})",
    "plan.fit_transform(train, to={})",
    "plan.fit_transform(train, categories={})",
    "fitted.transform({})",
    "fitted.transform(later, to={})",
    "fitted.transform(later, rows={})",
    "fitted.transform(later, out={})",
    "fitted.transform(later, backend={})",
    "fitted.transform(later, history={})",
    "fitted.transform(later, tables={})",
    "fitted.transform_row({})",
    "fitted.transform_row(row, tables={})",
    "fitted.label({})",
    "fitted.select({})",
    "fitted.vocabulary({})",
    "fitted.encoding({}).inverse([1])",
    "fitted.encoding('ordinal').inverse({})",
    "fitted.explain({})",
    "plan.explain({})",
    "plan.explain('bound', schema={})",
    "plan.schema({})",
    "plan.compile({})",
    "fitted.verify({})",
    "fitted.verify(later, n_rows={})",
    "fitted.verify(later, backends={})",
    "list(plan.cross_fit({}, 3))",
    "list(plan.cross_fit(train, {}))",
    "list(plan.cross_fit(train, 3, groups={}))",
    "list(plan.cross_fit(train, 3, purge={}))",
    "list(plan.cross_fit(train, 3, embargo={}))",
    "ff.Plan.from_json({})",
    "ff.load({})",
    "ff.online({})",
    "ff.online(states, late={})",
    "ff.online(states, keep={})",
    "ff.online(states, max_ahead={})",
    "ff.online(states, durability={})",
    "ff.online(states, history={})",
    "ff.online(states, tables={})",
    "served.online(late={})",
    "served.online(keep={})",
    "served.online(max_ahead={})",
    "ff.replay({})",
    "live.process({})",
    "live.features({})",
    "live.features(row, at={})",
    "live.features(row, to={})",
    "live.update({})",
    "live.outcomes({})",
    "live.correct({})",
    "live.forget({}, 1)",
    "live.forget('card', {})",
    "live.update_table({}, tables['shops'])",
    "live.update_table('shops', {})",
    "live.explain({})",
    "live.process(row, source='a', first={})",
    "live.process(row, source='a', end={})",
    "live.process(row, source={})",
    "ff.when({})",
    "ff.when(col('flag')).then({})",
    "ff.when(col('flag')).then(1).otherwise({})",
    "ff.lookup('shops', by='shop').col({})",
    "col('x').alias({})",
    "bound(col('x') + {})",
    "bound(col('x') == {})",
    "bound(col('x') > {})",
    "bound(col('flag') & {})",
    "bound(col('s') == {})",
    "bound(col('t') < {})",
)
"""Calls that compute, or read data: recorded where they are an error, as some change something."""
WRITTEN = (
    *(f"ff.Plan({bad})" for bad in BAD),
    *(f"ff.Plan({{'a': {bad}}})" for bad in BAD),
    *(f"ff.Plan({{{bad}: col('x')}})" for bad in BAD if bad not in ("[]", "['a', 3]")),
    *(
        f"ff.Plan({{'a': col('x'), 'r': col('delay').mean(over=WEEK)}}, {option}={bad})"
        for option in _PLAN_OPTIONS
        for bad in BAD
    ),
    "ff.Plan({'a': col('delay') + 1}, label='delay')",
    "ff.Plan({'a': col('delay').mean()}, outcomes=['delay'])",
    "ff.Plan({'a': col('delay').mean(over=ff.window(time='t', closed='right'))}, label='delay')",
    "ff.Plan({'a': col('delay').mean(over=WEEK)}, label='delay', label_delay='36h')",
    "ff.Plan({'a': col('delay').mean(over=ff.window(time=-col('n')))}, label='delay')",
    "ff.Plan({'a': col('x').mean(by=[col('delay').lag(over=WEEK)])}, label='delay')",
    "ff.Plan({'a': SHOPS.col('grade')}, label='grade')",
    "ff.Plan({'a': col('x').last(over=AHEAD)})",
    "ff.Plan({'a': col('shop').target_encode('late')})",
    "ff.Plan({'a': col('shop').target_encode('delay').ordinal_encode()}, label='delay')",
    "ff.Plan({'a': col('x'), 'b': col('x').cyclical(7), 'b_sin': col('y')})",
    "ff.Plan({'a': col('x')}, label='delay', dtype='float8')",
    "ff.Plan({'a': col('x')}, keep=['delay'], label='delay')",
    *(f"col('x').{name}(over=AHEAD)" for name in ("diff", "lag", "pct_change", "rank", "slope")),
    *(f"col('x').{name}(over=ROWS_OF_TABLE)" for name in ("diff", "rank", "pct_change")),
    "col('x').ewm_mean(over=WEEK, alpha=0.5)",
    "col('x').ewm_mean(over=PAST)",
    "col('x').ewm_mean(over=PAST, alpha=0.5, half_life='1d')",
    "ff.session_id('1d', over=WEEK)",
    "ff.window('7d', time='t', offset=3)",
    "ff.window(3, time='t', offset='7d')",
    "ff.window('1mo', time='t')",
    "ff.window('7x', time='t')",
    "ff.window(time='t', right_time='u')",
    "ff.window(time='t', by={'a': 'b'})",
    "bound(col('x').mean(over=ff.window('7d', time='step')))",
    "bound(col('x').mean(over=ff.window(7, time='t')))",
    "bound(col('x').mean(over=ff.window(time='s')))",
    "bound(col('x').mean(over=ff.window(time='x')))",
    "bound(col('x').mean(over=ff.window(time='t', by='tags')))",
    "bound(col('x').mean(over=ff.window(time='t', tie='s')))",
    "bound(ff.asof('payments', time='step', right_time='t').col('amount'))",
    "bound(ff.asof('payments', time='t', by='s', right_time='t').col('amount'))",
    "bound(ff.asof('payments', time='t', by={'s': 'card'}).col('amount'))",
    "bound(ff.asof('nothing', time='t').col('amount'))",
    "bound(ff.lookup('shops', by={'x': 'shop'}).col('size'))",
    "bound(ff.lookup('shops', by='shop').col('nothing'))",
    "bound(col('nothing'))",
    "bound(col('s'))",
    "bound(col('t'))",
    "bound(col('tags'))",
    "bound(col('s') + 1)",
    "bound(col('t') + col('t'))",
    "bound(~col('x'))",
    "bound(col('x') & col('flag'))",
    "bool(col('x'))",
    "list(col('x'))",
    "col('x')[0]",
    "col('x').nothing",
    "col('x').rolling_mean(3)",
    "col('x').shift(1)",
    "ff.concat_str('a')",
    "ff.nothing",
    "plan.fit(train.drop_columns(['x']))",
    "plan.fit(train.slice(0, 0))",
    "fitted.transform(later.drop_columns(['card']))",
    "fitted.transform(later.set_column(4, 'card', later['s']))",
    "fitted.transform({'x': [1, 2], 'y': [1]})",
    "fitted.transform_row({})",
    "served.transform_row(row)",
    "served.transform(later, history=train)",
    "windows.fit(train).transform(train, history=later)",
    "made(a=SHOPS.col('size')).fit(train, tables={'shops': {'shop': ['a', 'a'], 'size': [1, 2]}})",
    "made(a=SHOPS.col('size')).fit(train, tables={'shops': {'size': [1, 2]}})",
    "made(a=(col('big') * 4).sum()).fit(train)",
    "made(a=col('n').replace_strict({1: 2})).fit_transform(train)",
    "made(a=col('x').cast('int8')).fit_transform(train)",
    "made(a=col('number').str.to_integer()).fit_transform(train)",
    "made(a=col('date').str.to_datetime('%Y-%m-%d').dt.year()).fit_transform(train)",
    "made(a=col('prices').list.get(9, null_on_oob=False)).fit_transform(train)",
    "bound(col('s').str.contains('('))",
    "bound(col('s').str.replace('a', '$3'))",
)


def calls_of_data() -> Iterator[str]:
    """Yield the calls that are recorded where they are an error."""
    yield from dict.fromkeys(call.format(bad) for call in _DATA_CALLS for bad in BAD)
