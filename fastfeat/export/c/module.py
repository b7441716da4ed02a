"""A fitted plan as one `.c` and one `.h`: a row is read, steps run, and features are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from fastfeat_kernels.records import dataclass

from fastfeat.engine.program import Output, program_of
from fastfeat.execute.fitted import Fitted
from fastfeat.export.c import inputs, operations, runtime, steps
from fastfeat.export.c.costs import costs_of
from fastfeat.export.c.golden import GoldenMatrix, golden_matrix, input_column
from fastfeat.export.c.inputs import Input
from fastfeat.export.c.layout import RowStruct
from fastfeat.export.c.programs import (
    CArrays,
    ProgramText,
    Stored,
    code_function,
    matrix_store,
    n_operations_of,
)
from fastfeat.export.c.writer import CWriter, NodeCosts
from fastfeat.export.names import c_literal, identifiers
from fastfeat.export.record import ExportedFeature
from fastfeat.ir.dtypes import FLOAT64
from fastfeat.ir.node import Call, Column, Node, postorder
from fastfeat.ir.show import show
from fastfeat.plan.lower.constants import bind, constant_roots, evaluate_constants
from fastfeat.plan.lower.lower import output_of
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.plan.lower.schedule import ROWS
from fastfeat.scalars import op
from fastfeat.scalars.op import EXACT
from fastfeat.scalars.value import InputSlot
from fastfeat.scalars.zones import use_zone_tables

ABI = 1
ERRORS = {
    0: ("OK", "no error"),
    1: ("OVERFLOW", "a result does not fit into 64 bits"),
    2: ("OUT_OF_RANGE", "a value is outside the range of its type, or of a function"),
    3: ("NOT_PARSED", "a text is not a number or a time"),
    4: ("UNKNOWN_VALUE", "a value is not among the keys of a mapping"),
    5: ("NOT_UTF8", "a text is not UTF-8"),
    6: ("LATE_ROW", "a row is earlier than a row of its entity"),
    7: ("STATE_TOO_SMALL", "the memory of a state is too small"),
    8: ("BAD_ARGUMENT", "an argument is not valid"),
    9: ("NO_SUCH_ROW", "there is no such row"),
    10: ("GOLDEN", "a golden row has other bits on this machine"),
}
"""Name and message of each error, by its code."""


@dataclass(frozen=True, slots=True)
class CModule:
    """The texts of an export in C.

    Args:
        source: The `.c`.
        header: The `.h`.
        inputs: The columns that it reads.
        n_golden: Number of rows of the self-test.
        costs: The entry of each declared feature in the export, by name.
    """

    source: str
    header: str
    inputs: tuple[Input, ...]
    n_golden: int
    costs: dict[str, ExportedFeature]


def inputs_of(fitted: Fitted) -> tuple[Input, ...]:
    """Return the columns that a plan reads, in the order in which fit saw them."""
    read = set(fitted.declaration.row_columns)
    names = [name for name in fitted.inputs if name in read]
    types = [fitted.types[Column(name)] for name in names]
    return tuple(
        Input(name, one, dtype)
        for name, one, dtype in zip(names, identifiers(names), types, strict=True)
    )


def c_module(fitted: Fitted, name: str, digest: str) -> CModule:
    """Return the export of a plan; all of its features can be written."""
    writer = CWriter(fitted, name, inputs_of(fitted), RowStruct(name))
    _read_inputs(writer)
    for task in fitted.schedule.tasks:
        if task.gives and fitted.schedule.columns[task.gives[0]].space == ROWS:
            if task.kind == "program":
                _compute(writer, task.nodes)
            else:
                for node in task.nodes:
                    assert isinstance(node, Call)
                    steps.add_step(writer, node)
    text = ProgramText(fitted.matrix_program, fitted.matrix_constants, writer.struct, writer.tables)
    _add_program(writer, text, matrix_store, of_features=True)
    rows = golden_matrix(fitted)
    source = "\n".join(_source(writer, digest, rows))
    n_golden = rows.rows.num_rows
    return CModule(source, _header(writer), writer.inputs, n_golden, costs_of(writer))


def _read_inputs(writer: CWriter) -> None:
    lines: list[str] = []
    for number, one in enumerate(writer.inputs):
        place = writer.struct.add(Column(one.name), one.dtype)
        lines += inputs.read(number, one, place)
    body = "\n".join(f"    {line}" for line in lines)
    name = writer.name
    head = f"static int32_t ff_read(const {name}_row *row, ff_line *v, {name}_error *error)"
    writer.functions.append(f"{head}\n{{\n    (void)row, (void)error;\n{body}\n    return 0;\n}}\n")
    writer.calls.append("ff_read(row, v, error)")


def _compute(writer: CWriter, nodes: Sequence[Node]) -> None:
    """Add a program for several expressions over the row, whose results steps read."""
    fitted, types = writer.fitted, writer.fitted.types
    known = evaluate_constants(constant_roots(nodes), types, dict(fitted.constants))
    with use_zone_tables(fitted.zones):
        named = [(show(node), node) for node in nodes]
        outputs = outputs_of(named, types, lambda n, v: output_of(n, v, FLOAT64), hoist=True)
    program = program_of(outputs)
    places = [writer.struct.add(node, types[node]) for node in nodes]

    def store(place: int, output: Output) -> Stored:
        target = places[place]
        if output.op.physical == "f64":  # as keys are compared: 0.0 for -0.0
            chosen = op.select(op.is_number(output.op) & output.ok, output.op + 0.0, op.NAN)
            return Stored((chosen,), lambda names: [f"v->{target.value} = {names[0]};"])
        return Stored(
            (output.op, output.ok),
            lambda names: [f"v->{target.value} = {names[0]};", f"v->{target.flag} = {names[1]};"],
        )

    text = ProgramText(program, bind(program, known), writer.struct, writer.tables)
    _add_program(writer, text, store, of_features=False)
    for node, output in zip(nodes, text.outputs, strict=True):
        keys = [part.value for part in postorder([output.op]) if part.name == "table"]
        tables = frozenset(text.table(key) for key in keys)
        writer.costs[node] = NodeCosts(n_operations_of([output]), tables)


def _add_program(
    writer: CWriter,
    text: ProgramText,
    store: Callable[[int, Output], Stored],
    *,
    of_features: bool,
) -> None:
    for slot in text.program.inputs:
        _add_slot(writer, slot)
    out, given = ("double *out, ", "out, ") if of_features else ("", "")
    line = "const ff_line *v" if of_features else "ff_line *v"
    functions = text.functions(
        f"ff_part{len(writer.functions)}_",
        store,
        lambda place: place if of_features else -1,
        f"{line}, {out}{writer.name}_error *error",
    )
    for function, body in functions:
        writer.functions.append(body)
        writer.calls.append(f"{function}(v, {given}error)")
    for output in text.outputs:
        writer.called.update(operations.called([output.op, output.ok, output.status]))


def _add_slot(writer: CWriter, slot: InputSlot) -> None:
    """Add the field of a program's input: a column, a step, or a value computed from text."""
    fields = writer.struct.fields
    if slot in fields:
        return
    if slot.kind == "column":
        writer.struct.share(slot, slot.sources[0])
    else:
        steps.add_slot(writer, slot)


def _header(writer: CWriter) -> str:
    name, fitted = writer.name, writer.fitted
    guard = f"{name}_H_"
    kinds = {"text": f"{name}_text"}
    rows = "\n".join(
        f"    {kinds.get(one.c_type, one.c_type)} {one.field};" for one in writer.inputs
    )
    counts = f"{name}_N_INPUTS = {len(writer.inputs)}, {name}_N_OUTPUTS = {len(fitted.nodes)}"
    return f"""\
/* Features of a row, written by fastfeat. The names of columns are in {name}.json. */
#ifndef {guard}
#define {guard}

#include <stdint.h>

#if defined(__cplusplus)
extern "C" {{
#endif

enum {{ {name}_ABI = {ABI}, {counts}, {name}_N_ORDERS = 0 }};

/* UTF-8, without a zero at its end. */
typedef struct {{ const char *bytes; int64_t size; }} {name}_text;

/* A row. valid[i] is 0 if input i is missing; its value is then not read. */
typedef struct {{
{rows}
    uint8_t valid[{name}_N_INPUTS];
}} {name}_row;

/* A column of rows: 8-byte values, or bytes of texts with n_rows + 1 offsets. valid has a byte a
   row; NULL if nothing is missing. */
typedef struct {{
    const void *values;
    const uint8_t *valid;
    const int64_t *offsets;
    const uint8_t *item_valid;
}} {name}_column;

/* feature is the number of an output, input that of an input; -1 for none. */
typedef struct {{ int32_t code, feature, input, reserved; int64_t row; }} {name}_error;

typedef struct {name}_state {name}_state;

/* Each returns 0 or the code of an error. error and states may be NULL. */
int32_t {name}_features(const {name}_row *row, {name}_state *const *states, double *out,
                        {name}_error *error);
int32_t {name}_batch(const {name}_column *columns, int64_t n_rows, double *out,
                     {name}_error *error);
int32_t {name}_selftest({name}_error *error);

int32_t {name}_abi(void);
int32_t {name}_n_inputs(void);
int32_t {name}_n_outputs(void);
const char *{name}_digest(void);
const char *{name}_message(int32_t code);

#if defined(__cplusplus)
}}
#endif

#endif
"""


def _source(writer: CWriter, digest: str, rows: GoldenMatrix) -> Iterator[str]:
    name = writer.name
    names = sorted(writer.called, key=lambda one: (one not in EXACT.values(), one))
    functions = [operations.elementary(one) for one in names]
    golden = list(_golden(writer, rows))
    computed = "\n".join(writer.functions)
    public = _public(writer, digest, rows)
    yield f"/* Features of a row, written by fastfeat: see {name}.h. */"
    yield f'#include "{name}.h"\n\n#include <float.h>\n#include <string.h>\n'
    yield runtime.HEAD
    yield runtime.machine(name)
    yield writer.struct.text()
    yield from runtime.functions_for([*functions, computed, public])
    yield from functions
    yield from writer.tables.texts
    yield _fail(name)
    if "ff_code(" in computed:
        yield code_function()
    yield computed
    yield from golden
    yield public


def _fail(name: str) -> str:
    return f"""\
static int32_t ff_fail({name}_error *error, int32_t code, int32_t feature, int32_t input)
{{
    if (error) {{
        error->code = code;
        error->feature = feature;
        error->input = input;
        error->reserved = 0;
        error->row = -1;
    }}
    return code;
}}
"""


def _golden(writer: CWriter, rows: GoldenMatrix) -> Iterator[str]:
    """Yield the tables of the self-test: the columns of its rows, and the bits of features."""
    n_rows = rows.rows.num_rows
    if not n_rows:
        return
    columns: list[str] = []
    tables = CArrays(prefix="ff_g")
    for one in writer.inputs:
        column = input_column(rows.rows.column(one.name), one)
        valid = tables.array(column.valid, "uint8_t")
        if column.offsets is None:
            columns.append(f"{{{tables.array(column.values, one.c_type)}, {valid}, NULL, NULL}}")
        else:
            content, offsets = column.values.tobytes(), tables.array(column.offsets, "int64_t")
            columns.append(f"{{{tables.bytes(content)}, {valid}, {offsets}, NULL}}")
    bits = tables.array(rows.bits.reshape(-1), "uint64_t")
    yield from tables.texts
    lines = "\n".join(f"    {column}," for column in columns)
    yield f"static const {writer.name}_column ff_golden[] = {{\n{lines}\n}};\n"
    yield f"static const uint64_t *const ff_golden_bits = {bits};\n"


def _row_of(writer: CWriter) -> str:
    """Return the function that reads row `i` of columns."""
    name = writer.name
    lines: list[str] = []
    for k, one in enumerate(writer.inputs):
        column = f"columns[{k}]"
        lines.append(f"row->valid[{k}] = {column}.valid ? {column}.valid[i] : 1;")
        if one.c_type == "text":
            lines.append(f"row->{one.field}.bytes = row->valid[{k}]")
            lines.append(f'    ? (const char *){column}.values + {column}.offsets[i] : "";')
            lines.append(f"row->{one.field}.size = row->valid[{k}]")
            lines.append(f"    ? {column}.offsets[i + 1] - {column}.offsets[i] : 0;")
        else:
            lines.append(f"row->{one.field} = row->valid[{k}]")
            lines.append(f"    ? ((const {one.c_type} *){column}.values)[i] : 0;")
    body = "\n".join(f"    {line}" for line in lines)
    head = f"static void ff_row_of(const {name}_column *columns, int64_t i, {name}_row *row)"
    return f"{head}\n{{\n{body}\n}}\n"


def _public(writer: CWriter, digest: str, rows: GoldenMatrix) -> str:
    name = writer.name
    calls = "\n".join(
        f"    code = {call};\n    if (code)\n        return code;" for call in writer.calls
    )
    messages = "\n".join(
        f"    case {code}:\n        return {c_literal(text)};" for code, (_, text) in ERRORS.items()
    )
    n_rows = rows.rows.num_rows
    selftest = (_SELFTEST if n_rows else _NO_SELFTEST).format(name=name, n_rows=n_rows)
    return f"""\
static int32_t ff_features(const {name}_row *row, double *out, {name}_error *error)
{{
    ff_line line, *const v = &line;
    int32_t code;
{calls}
    return 0;
}}

{_row_of(writer)}
int32_t {name}_features(const {name}_row *row, {name}_state *const *states, double *out,
                        {name}_error *error)
{{
    (void)states;
    if (!row || !out)
        return ff_fail(error, 8, -1, -1);
    return ff_features(row, out, error);
}}

int32_t {name}_batch(const {name}_column *columns, int64_t n_rows, double *out,
                     {name}_error *error)
{{
    if (n_rows < 0 || (n_rows > 0 && (!columns || !out)))
        return ff_fail(error, 8, -1, -1);
    for (int64_t i = 0; i < n_rows; i++) {{
        {name}_row row;
        int32_t code;
        ff_row_of(columns, i, &row);
        code = ff_features(&row, out + i * {name}_N_OUTPUTS, error);
        if (code) {{
            if (error)
                error->row = i;
            return code;
        }}
    }}
    return 0;
}}

{selftest}
int32_t {name}_abi(void) {{ return {name}_ABI; }}
int32_t {name}_n_inputs(void) {{ return {name}_N_INPUTS; }}
int32_t {name}_n_outputs(void) {{ return {name}_N_OUTPUTS; }}
const char *{name}_digest(void) {{ return "{digest}"; }}

const char *{name}_message(int32_t code)
{{
    switch (code) {{
{messages}
    default:
        return "an unknown error";
    }}
}}
"""


_NO_SELFTEST = """\
int32_t {name}_selftest({name}_error *error)
{{
    (void)error;
    return 0;
}}
"""

_SELFTEST = """\
int32_t {name}_selftest({name}_error *error)
{{
    for (int64_t i = 0; i < {n_rows}; i++) {{
        {name}_row row;
        double out[{name}_N_OUTPUTS];
        int32_t code;
        ff_row_of(ff_golden, i, &row);
        code = ff_features(&row, out, error);
        for (int32_t j = 0; !code && j < {name}_N_OUTPUTS; j++) {{
            uint64_t bits;
            memcpy(&bits, out + j, 8);
            if (bits != ff_golden_bits[i * {name}_N_OUTPUTS + j])
                code = ff_fail(error, 10, j, -1);
        }}
        if (code) {{
            if (error)
                error->row = i;
            return code;
        }}
    }}
    return 0;
}}
"""
