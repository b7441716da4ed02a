"""Steps in exported C: a row per step, with the statements that compute it from a row's values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.hashing import TAG_FLOAT, TAG_INTEGER, TAG_MISSING, TAG_TEXT
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.execute.fitted import Fitted
from fastfeat.export.c.layout import Field
from fastfeat.export.c.operations import literal
from fastfeat.export.c.writer import CWriter
from fastfeat.export.names import c_literal
from fastfeat.io.columns.row_values import stored_literal
from fastfeat.io.columns.strings import content_of, contents_of
from fastfeat.ir.dtypes import TABLE, DType
from fastfeat.ir.node import Aggregate, Call, Literal, Node
from fastfeat.plan.lower import codes as code_plans
from fastfeat.scalars.value import InputSlot

MOST_TABLE_BYTES = 4 << 20
"""The largest vocabulary in an export."""


@dataclass(frozen=True, slots=True)
class CArgument:
    """An argument of a step.

    Args:
        dtype: Its type.
        value: The text of its value.
        flag: The text that tells whether it is there.
    """

    dtype: DType
    value: str
    flag: str

    @property
    def bytes(self) -> str:
        """The bytes of a text and their number, as two arguments."""
        return f"{self.value}.bytes, {self.value}.size"


StepText = Callable[[CWriter, Call, Field], list[str]]
"""Returns the statements that compute a step into its field."""


def operand(writer: CWriter, node: Node) -> CArgument:
    """Return an argument of a step; a float has 0.0 for -0.0, as keys are compared."""
    dtype = writer.fitted.types[node]
    if isinstance(node, Literal):
        return _constant(writer, node.value, dtype)
    one = writer.struct.fields[node]
    if one.has_flag:
        return CArgument(dtype, f"v->{one.value}", f"v->{one.flag}")
    return CArgument(dtype, f"(v->{one.value} + 0.0)", f"(v->{one.value} == v->{one.value})")


def _constant(writer: CWriter, value: Any, dtype: DType) -> CArgument:
    if not dtype.holds_bytes:
        stored = stored_literal(value, dtype)
        return CArgument(dtype, literal(stored, dtype.physical), "1")
    if value is None:
        return CArgument(dtype, f'({writer.name}_text){{"", 0}}', "0")
    content = content_of(value)
    text = c_literal(content)
    return CArgument(dtype, f"({writer.name}_text){{{text}, {len(content)}}}", "1")


def _vocabulary(fitted: Fitted, node: Call) -> Vocabulary:
    known = node.args[-1]
    if isinstance(known, Literal) and fitted.types[known] == TABLE:
        return code_plans.listed_vocabulary(known, fitted.types[node.args[0]])
    found = fitted.constants[known]
    assert isinstance(found, Vocabulary)
    return found


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the keys of a vocabulary.

    Args:
        find: The text that finds the place of a value among the sorted values; -1 if it is none.
        n_values: Number of different values.
        places: The place of each key's value; `n_values` if that is missing.
    """

    find: str
    n_values: int
    places: list[int]


def _part(writer: CWriter, values: Sequence[Any], given: CArgument) -> _Part:
    if given.dtype.holds_bytes:
        texts = [None if value is None else content_of(value) for value in values]
        known: list[Any] = sorted({text for text in texts if text is not None})
        find = f"ff_find_text({_text_table(writer, known)}, {given.bytes})"
        stored: list[Any] = texts
    else:
        is_float = given.dtype.physical == "f64"
        stored = [None if v is None else float(v) if is_float else _signed(v) for v in values]
        known = sorted({value for value in stored if value is not None})
        kind, letter = ("float64", "f64") if is_float else ("int64", "i64")
        name = writer.tables.array(np.array(known, kind), "double" if is_float else "int64_t")
        find = f"ff_find_{letter}({name}, {len(known)}, {given.value})"
    place = {value: k for k, value in enumerate(known)}
    return _Part(find, len(known), [len(known) if v is None else place[v] for v in stored])


def _signed(value: Any) -> int:
    return (int(value) + (1 << 63)) % (1 << 64) - (1 << 63)


def _text_table(writer: CWriter, texts: Sequence[bytes]) -> str:
    """Return the arguments that name a table of texts: bytes, offsets, number."""
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts], dtype=np.int64)])
    ends = writer.tables.array(offsets.astype(np.int64), "int64_t")
    return f"{writer.tables.bytes(b''.join(texts))}, {ends}, {len(texts)}"


def _encode(writer: CWriter, node: Call, target: Field) -> list[str]:
    params = dict(node.params)
    given = [operand(writer, arg) for arg in node.args[:-1]]
    known = _vocabulary(writer.fitted, node)
    columns = [contents_of(part) for part in known.parts]
    parts = [_part(writer, *both) for both in zip(columns, given, strict=True)]
    strides = [1] * len(parts)
    for k in range(len(parts) - 1, 0, -1):
        strides[k - 1] = strides[k] * (parts[k].n_values + 1)
    places = zip(*(part.places for part in parts), strict=True)
    keys = np.array([sum(p * s for p, s in zip(row, strides, strict=True)) for row in places])
    order = np.argsort(keys, kind="stable") if len(keys) else np.zeros(0, np.int64)
    first = 1 + params["n_unseen"]
    codes = writer.tables.array((order + first).astype(np.int64), "int64_t")
    sorted_keys = keys[order].astype(np.int64) if len(keys) else np.zeros(0, np.int64)
    lines = [f"v->{target.flag} = 1;"]
    is_key = params["missing"] == "key"
    if is_key:
        there = " && ".join(one.flag for one in given)
        lines += [f"v->{target.value} = 0;", f"if (!({there}))", "    return 0;"]
    names = [f"p{k}" for k in range(len(parts))]
    for name, part, one in zip(names, parts, given, strict=True):
        found = part.find if is_key else f"{one.flag} ? {part.find} : {part.n_values}"
        lines.append(f"const int64_t {name} = {found};")
    inside = " && ".join(f"{name} >= 0" for name in names)
    total = " + ".join(f"{n} * {literal(s, 'i64')}" for n, s in zip(names, strides, strict=True))
    keys_name = writer.tables.array(sorted_keys, "int64_t")
    lines.append(
        f"const int64_t place = {inside} ? ff_find_i64({keys_name}, {len(keys)}, {total}) : -1;"
    )
    unseen = ["v->" + target.value + " = 1;"]
    if params["n_unseen"] > 1:
        hashed = _hashed(given if not is_key else given[:1], 0, rows=not is_key)
        bucket = f"ff_mulhi((int64_t)ff_hash_end(&h), {params['n_unseen']})"
        unseen = [*hashed, f"v->{target.value} = 1 + {bucket};"]
    lines += ["if (place >= 0) {", f"    v->{target.value} = {codes}[place];", "    return 0;", "}"]
    return [*lines, *unseen]


def _hashed(given: Sequence[CArgument], seed: int, *, rows: bool) -> list[str]:
    """Return the statements that put the canonical bytes of values into a hash `h`."""
    lines = ["ff_hash h;", f"ff_hash_start(&h, UINT64_C({seed}));"]
    for one in given:
        is_text, is_float = (
            one.dtype.holds_bytes,
            one.dtype.name != "bool"
            and not (one.dtype.holds_bytes)
            and one.dtype.physical == "f64",
        )
        size = f"(uint64_t){one.value}.size" if is_text else "8"
        if is_text:
            add = f"ff_hash_add(&h, {one.bytes});"
        elif is_float:
            add = f"ff_hash_word(&h, (uint64_t)ff_bits({one.value}));"
        else:
            add = f"ff_hash_word(&h, (uint64_t){one.value});"
        if not rows:
            lines.append(add)
            continue
        tag = TAG_TEXT if is_text else TAG_FLOAT if is_float else TAG_INTEGER
        lines += [
            f"ff_hash_tag(&h, {one.flag} ? {tag} : {TAG_MISSING}, {one.flag} ? {size} : 0);",
            f"if ({one.flag})",
            f"    {add}",
        ]
    return lines


def _bucket(target: Field, n_buckets: int | None) -> str:
    found = "(int64_t)ff_hash_end(&h)"
    if n_buckets is not None:
        found = f"ff_mulhi({found}, {literal(n_buckets, 'i64')})"
    return f"v->{target.value} = {found};"


def _hash(writer: CWriter, node: Call, target: Field) -> list[str]:
    params, given = dict(node.params), operand(writer, node.args[0])
    return [
        *_missing_unless(target, given.flag),
        *_hashed([given], params["seed"], rows=False),
        _bucket(target, params["n_buckets"]),
    ]


def _hash_cross(writer: CWriter, node: Call, target: Field) -> list[str]:
    params = dict(node.params)
    given = [operand(writer, arg) for arg in node.args]
    hashed = _hashed(given, params["seed"], rows=True)
    return [f"v->{target.flag} = 1;", *hashed, _bucket(target, params["n_buckets"])]


def _missing_unless(target: Field, flag: str) -> list[str]:
    """Return the statements that leave a function with a missing result unless `flag` holds."""
    empty = "" if target.dtype.holds_bytes else f"v->{target.value} = 0;"
    empty = empty or f'v->{target.value}.bytes = ""; v->{target.value}.size = 0;'
    return [f"v->{target.flag} = {flag};", empty, f"if (!v->{target.flag})", "    return 0;"]


def _choose(target: Field, one: CArgument) -> list[str]:
    return [f"v->{target.value} = {one.value};", f"v->{target.flag} = {one.flag};"]


def _when(writer: CWriter, node: Call, target: Field) -> list[str]:
    test, yes, no = (operand(writer, arg) for arg in node.args)
    chosen = [f"    {line}" for line in _choose(target, yes)]
    other = [f"    {line}" for line in _choose(target, no)]
    return [f"if ({test.flag} && {test.value} != 0) {{", *chosen, "} else {", *other, "}"]


def _coalesce(writer: CWriter, node: Call, target: Field) -> list[str]:
    first, *others = [operand(writer, arg) for arg in node.args]
    lines = _choose(target, first)
    for one in others:
        lines += [f"if (!v->{target.flag}) {{", *(f"    {x}" for x in _choose(target, one)), "}"]
    return lines


def _of_text(form: str) -> StepText:
    """Return the writer of a function of one text: `{x}` is its bytes and size, `{p}` a pattern."""

    def write(writer: CWriter, node: Call, target: Field) -> list[str]:
        given, params = operand(writer, node.args[0]), dict(node.params)
        content = content_of(params.get("pattern", ""))
        pattern = f"{c_literal(content)}, {len(content)}"
        value = form.format(x=given.bytes, v=given.value, p=pattern)
        return [*_missing_unless(target, given.flag), f"v->{target.value} = {value};"]

    return write


STEPS: Mapping[str, StepText] = {
    "encode": _encode,
    "hash": _hash,
    "hash_cross": _hash_cross,
    "when": _when,
    "coalesce": _coalesce,
    "fill_null": _coalesce,
    "str.len_bytes": _of_text("{v}.size"),
    "str.len_chars": _of_text("ff_len_chars({x})"),
    "str.starts_with": _of_text("ff_starts_with({x}, {p})"),
    "str.ends_with": _of_text("ff_ends_with({x}, {p})"),
    "str.find_literal": _of_text("ff_find({x}, {p})"),
    "str.contains_literal": _of_text("(ff_find({x}, {p}) >= 0)"),
}
"""The text of each step; a step that is not here is refused."""


def unsupported(fitted: Fitted, node: Call | Aggregate) -> str | None:
    """Return the reason why a step has no text in C; None if it has one."""
    if isinstance(node, Aggregate) or node.function not in STEPS:
        return f"{node.function} has no form in C yet"
    if node.function == "encode":
        known = _vocabulary(fitted, node)
        n_bytes = sum(part.nbytes for part in known.parts)
        if n_bytes > MOST_TABLE_BYTES:
            return f"its vocabulary has {n_bytes:,} bytes, and {MOST_TABLE_BYTES:,} are the most"
        if np.prod([float(len(known) + 2)] * len(known.parts)) > 2.0**62:
            return "a key of so many parts and values has no number in 64 bits"
    return None


def add_step(writer: CWriter, node: Call) -> None:
    """Add a step: its field, and the function that computes it."""
    target = writer.struct.add(node, writer.fitted.types[node])
    writer.add_function("step", STEPS[node.function](writer, node, target), [node])


def add_slot(writer: CWriter, slot: InputSlot) -> None:
    """Add the field of an input that a program reads from text, and the function that fills it."""
    target = writer.struct.add(slot, slot.dtype)
    given = [operand(writer, source) for source in slot.sources]
    writer.add_function("slot", list(_slot(writer, slot, target, given)), slot.sources)


def _slot(
    writer: CWriter, slot: InputSlot, target: Field, given: Sequence[CArgument]
) -> Iterator[str]:
    match slot.kind:
        case "valid" | "valid_bytes":
            yield f"v->{target.value} = {given[0].flag};"
            yield f"v->{target.flag} = 1;"
        case "codes":
            texts = [content_of(text) for text in slot.literals]
            known = sorted(set(texts))
            places = np.array([texts.index(text) for text in known], np.int64)
            codes = writer.tables.array(places, "int64_t")
            yield from _missing_unless(target, given[0].flag)
            table = _text_table(writer, known)
            yield f"const int64_t place = ff_find_text({table}, {given[0].bytes});"
            yield f"v->{target.value} = place >= 0 ? {codes}[place] : -1;"
        case _:
            yield from _missing_unless(target, " && ".join(one.flag for one in given))
            left, right = given
            yield f"v->{target.value} = ff_compare({left.bytes}, {right.bytes}) == 0;"
