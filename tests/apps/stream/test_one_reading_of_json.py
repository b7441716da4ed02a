"""One reading of JSON: the server and the stream take the same texts, and refuse the same texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.apps.serve.json_rows import row_reader
from fastfeat.apps.serve.json_text import read_json
from fastfeat.apps.serve.refusals import Refusal
from fastfeat.apps.stream.config import Topic
from fastfeat.apps.stream.messages import decode_messages, decoder
from fastfeat.io.columns.json_values import RULES, rules_table
from fastfeat.io.sources.json_text import orjson
from fastfeat.ir.dtypes import DType, duration, list_of, timestamp
from fastfeat.ir.dtypes import time as time_of_day
from fastfeat_tests.apps.serve.served_plan import server
from fastfeat_tests.apps.stream.topics import Topics, as_json, events_of, plan_of, running

MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)
TYPES: dict[str, DType] = {
    "i": DType("int64"),
    "u": DType("uint8"),
    "f": DType("float64"),
    "h": DType("float32"),
    "b": DType("bool"),
    "s": DType("utf8"),
    "t": timestamp("us", "UTC"),
    "n": timestamp("ms"),
    "d": DType("date32"),
    "c": time_of_day("s"),
    "w": duration("ms"),
    "l": list_of(DType("int64")),
    "x": DType("null"),
}
TAKEN: list[tuple[str, dict[str, Any]]] = [
    ("{}", {}),
    ('{"i":null,"f":null,"t":null,"l":null,"x":null}', {}),
    ('{"i":9223372036854775807}', {"i": 2**63 - 1}),
    ('{"i":1.0}', {"i": 1}),
    ('{"i":-0}', {"i": 0}),
    ('{"u":255}', {"u": 255}),
    ('{"f":1}', {"f": 1.0}),
    ('{"f":0.1}', {"f": 0.1}),
    ('{"f":9007199254740992}', {"f": 2.0**53}),
    ('{"f":9007199254740994}', {"f": 2.0**53 + 2}),  # even, so a float holds it
    ('{"f":1152921504606846976}', {"f": 2.0**60}),
    ('{"f":1e300}', {"f": 1e300}),
    ('{"h":0.1}', {"h": float(np.float32(0.1))}),
    ('{"h":16777216}', {"h": 2.0**24}),
    ('{"b":true}', {"b": True}),
    ('{"s":"\\u00e9\\ud83d\\ude00"}', {"s": "é😀"}),
    ('{"s":""}', {"s": ""}),
    ('{"s":"\\"i\\":1"}', {"s": '"i":1'}),  # the text of a key in a value
    ('{"t":"2026-01-31T12:00:00Z"}', {"t": MOMENT}),
    ('{"t":"2026-01-31T14:00:00+02:00"}', {"t": MOMENT}),
    ('{"t":"2026-01-31 12:00:00.000000Z"}', {"t": MOMENT}),
    ('{"n":"2026-01-31T12:00:00.500"}', {"n": datetime(2026, 1, 31, 12, 0, 0, 500_000)}),
    ('{"d":"2026-01-31"}', {"d": date(2026, 1, 31)}),
    ('{"c":"12:00:01"}', {"c": time(12, 0, 1)}),
    ('{"w":5}', {"w": timedelta(milliseconds=5)}),
    ('{"l":[1,null,3.0]}', {"l": [1, None, 3]}),
    ('{"l":[]}', {"l": []}),
    ('{"i":1,"more":{"i":[2,{"i":3}]}}', {"i": 1}),
    ('{"i":1,"I":2}', {"i": 1}),
    (' \t\n{"i" : 1}\r\n ', {"i": 1}),
]
NO_JSON = "JSON has no NaN and no infinities"
REFUSED: list[tuple[str, str]] = [
    ('{"f":NaN}', NO_JSON),
    ('{"f":Infinity}', NO_JSON),
    ('{"f":-Inf}', NO_JSON),
    ('{"f":1e400}', "a number is beyond float64"),
    ('{"more":NaN}', NO_JSON),  # a column that nobody reads
    ('{"f":9007199254740993}', "must be exact in it, got 9007199254740993"),
    ('{"h":16777217}', "must be exact in it, got 16777217"),
    ('{"h":1e300}', "fit saw float32: write a number in the range of the type"),
    ('{"f":true}', "fit saw float64"),
    ('{"f":"1"}', "fit saw float64"),
    ('{"i":true}', "fit saw int64: write a whole number"),
    ('{"i":1.5}', "fit saw int64"),
    ('{"i":"1"}', "fit saw int64"),
    ('{"i":9007199254740992.0}', "fit saw int64"),
    ('{"i":9223372036854775808}', "fit saw int64"),
    ('{"i":-9223372036854775809}', "fit saw int64"),
    ('{"i":[1]}', "fit saw int64"),
    ('{"i":{"i":1}}', "fit saw int64"),
    ('{"u":256}', "from 0 to 255, got 256"),
    ('{"u":-1}', "from 0 to 255, got -1"),
    ('{"b":1}', "fit saw bool: write true or false, got 1"),
    ('{"b":"true"}', "fit saw bool"),
    ('{"s":1}', "fit saw utf8: write text, got 1"),
    ('{"s":"\\ud800"}', "not JSON"),
    ('{"t":"2026-01-31T12:00:00"}', "write ISO 8601 with an offset"),
    ('{"t":"2026-01-31"}', "write ISO 8601 with an offset"),
    ('{"t":1769860800}', "write ISO 8601 with an offset"),
    ('{"t":"2026-01-31T12:00:00.1234567Z"}', "no finer than us"),
    ('{"n":"2026-01-31T12:00:00Z"}', "write ISO 8601 without an offset"),
    ('{"n":"2026-01-31T12:00:00+01:00"}', "write ISO 8601 without an offset"),
    ('{"d":"2026-02-30"}', "write a date"),
    ('{"c":"12:00:00+01:00"}', "write a time of day"),
    ('{"w":1.5}', "write a whole number of ms"),
    ('{"l":1}', "write a list"),
    ('{"l":[1,true]}', "write a list"),
    ('{"x":0}', "only missing values"),
    ('{"i":1,"i":2}', "the key 'i' twice"),
    ('{"more":1,"more":2}', "the key 'more' twice"),
    ('{"more":{"a":1,"a":2}}', "the key 'a' twice"),
    ('{"m\\u003are":1,"m:re":2}', "the key 'm:re' twice"),
    ('{"i":1},"w":1', "not JSON"),
    ('{"i":1}}', "not JSON"),
    ('{"i":1} x', "not JSON"),
    ('{"i":1,}', "not JSON"),
    ('{"i":01}', "not JSON"),
    ("{'i':1}", "not JSON"),
    ('{"i":1', "not JSON"),
    ("[1]", "not JSON|is not an object of column names|not one object"),
    ("null", "is not an object of column names|not one object"),
    ("3", "is not an object of column names|not one object"),
]


@dataclass(frozen=True)
class Answer:
    """What a door makes of a text: the values of the row, or why it is refused."""

    row: dict[str, Any] | None
    refusal: str = ""


MISSING: dict[str, Any] = dict.fromkeys(TYPES)
READER = row_reader(TYPES, tuple(TYPES), (), 10)
DECODE = decoder(Topic("x", absent="missing"), TYPES)


def of_server(text: str) -> Answer:
    """Return what the server makes of a row, which stands in the body of a request."""
    try:
        rows = read_json(b'{"rows":[%s]}' % text.encode())["rows"]
        found = READER.table([{**MISSING, **row} if type(row) is dict else row for row in rows])
    except Refusal as error:
        return Answer(None, re.sub(r", row 0|, at byte \d+| \(at byte \d+\)", "", str(error)))
    (row,) = found.to_pylist()
    return Answer(row)


def of_stream(text: str) -> Answer:
    """Return what the stream makes of a message, between others that are right."""
    around = b'{"i":7}'
    rows, poison = decode_messages(DECODE, [around, text.encode(), around])
    assert rows.table["i"].to_pylist()[0] == rows.table["i"].to_pylist()[-1] == 7
    if poison:
        assert [each.message for each in poison] == [1]
        reason = re.sub(r", at byte \d+| \(at byte \d+\)", "", poison[0].reason)
        return Answer(None, reason)
    return Answer(rows.table.slice(1, 1).to_pylist()[0])


def test_eighty_texts_are_read_alike_at_both_doors() -> None:
    assert len(TAKEN) + len(REFUSED) == 80
    for text, values in TAKEN:
        wanted = Answer({**MISSING, **values})
        assert (text, of_server(text)) == (text, wanted)
        assert (text, of_stream(text)) == (text, wanted)
    for text, words in REFUSED:
        server_, stream = of_server(text), of_stream(text)
        assert server_.row is None, text
        assert stream.row is None, text
        assert re.search(words, server_.refusal), (text, server_)
        assert re.search(words, stream.refusal), (text, stream)
        if words.startswith("fit saw"):
            assert server_.refusal == stream.refusal


def test_every_kind_of_column_is_in_the_table_of_rules() -> None:
    docs = Path(__file__).resolve().parents[3] / "docs" / "live.md"
    assert rules_table() in docs.read_text("utf-8")
    named = [name for rule in RULES for name in rule.types]
    assert len(set(named)) == len(named)
    assert {dtype.name for dtype in TYPES.values()} <= set(named)


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**65), 2**65),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(-(2**40), 2**40).map(float),
        st.sampled_from(["", "1", "true", "NaN", "2026-01-31", "12:00:00", "a:b"]),
        st.datetimes().map(lambda t: t.isoformat()),
        st.datetimes().map(lambda t: t.isoformat() + "Z"),
    ),
    lambda one: st.lists(one, max_size=3),
    max_leaves=4,
)


@given(st.sampled_from(list(TYPES)), values)
def test_any_value_for_any_type_is_read_alike_at_both_doors(name: str, value: Any) -> None:
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        text = f'{{"{name}":{value}}}'
    else:
        text = orjson.dumps({name: _within(value)}).decode()
    first, second = of_server(text), of_stream(text)
    assert repr(first) == repr(second)


def _within(value: Any) -> Any:
    """Return a value whose integers orjson writes."""
    if isinstance(value, list):
        return [_within(one) for one in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value)
    return value


@pytest.mark.parametrize("absent", ["error", "missing"])
def test_a_name_is_a_key_and_nowhere_else(absent: Any) -> None:
    types = {"f": TYPES["f"], "s": TYPES["s"]}
    decode = decoder(Topic("x", absent=absent), types)
    lacking = [
        b'{"s":"f"}',
        b'{"s":"\\"f\\":1"}',
        b'{"s":"a","more":{"f":1}}',
        b'{"s":"a","l":["f"]}',
    ]
    rows, poison = decode_messages(decode, [*lacking, b'{"s":"a","f":null}'])
    assert [each.message for each in poison] == ([0, 1, 2, 3] if absent == "error" else [])
    assert set(rows.table["f"].to_pylist()) == {None}
    reader = row_reader(types, (), (), 10)
    for text in lacking:
        row = read_json(text)
        with pytest.raises(Refusal, match="row 0 lacks the column 'f'"):
            reader.table([row, {"s": "a", "f": 1.0}])


def test_texts_go_through_http_and_through_a_topic_alike(topics: Topics, tmp_path: Path) -> None:
    events = events_of(12)
    fitted = plan_of().fit(events)
    config = topics.config(fitted)
    row = as_json({**events.to_pylist()[3], "id": "new", "amount": 2.5}).decode()
    assert '"amount": 2.5' in row
    texts = [
        row,
        row.replace("2.5", "3").replace("new", "newer"),
        row.replace("2.5", "true"),
        row.replace("2.5", "9007199254740993"),
        row.replace("2.5", "NaN"),
        row.replace("+00:00", ""),
        row.replace('"amount": 2.5', '"note": "amount"'),
        row + "}",
    ]
    for text in texts:
        topics.send("events", 0, text.encode())
    topics.flush()
    with running({**config, "late": "insert"}):
        letters = topics.dead(6)
        served = topics.features(2)
    assert sorted(offset for _, offset in served) == [0, 1]
    dead = [int(dict(letter.headers())["fastfeat.offset"]) for letter in letters]
    assert dead == [2, 3, 4, 5, 6, 7]
    with server(artifact=tmp_path / "plan.fastfeat", late="insert") as door:
        door.wait_for("ready with")
        path = "/v1/features"
        answers = [
            door.post(path, b'{"rows": [%s], "update": true}' % text.encode()) for text in texts
        ]
        assert [answer.status for answer in answers] == [200, 200, *[400] * 6]
        names = answers[0].json["names"]
        for at in (0, 1):
            assert dict(zip(names, answers[at].json["features"][0], strict=True)) == served[0, at]
    for answer, letter in zip(answers[2:4], letters, strict=False):
        reason = dict(letter.headers())["fastfeat.reason"].decode()
        assert answer.error["message"].replace(", row 0", "") == reason
