"""One row of a fitted plan, computed by functions that are prepared once per plan and thread.

A row is a list, called a line: the input values in stored form (missing is NaN for floats, None for
all else), then constants, then the results of programs and steps. The place of a value is its index
in this list. If a type, a size or a status does not fit, an error without details is raised. The
caller then computes the row by the plain definitions, which give the error message.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple

from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.cpu.row import RowProgram, row_program, row_values_program
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.engine.program import Program, program_of
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.results import row_type
from fastfeat.execute.row.definitions import RowKernel, over_table_function, row_key, row_steps
from fastfeat.execute.row.readers import NAN, checks_of, getter, reader_of, type_as_stored
from fastfeat.execute.text_slots import function_of_text
from fastfeat.io.columns.row_values import stored_literal
from fastfeat.ir.dtypes import FLOAT64, TABLE, VOCABULARY, DType
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, TableColumn
from fastfeat.ir.scope import is_over_table, is_over_window, row_args, row_order
from fastfeat.ir.show import names_of, show
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower.constants import bind, constant_roots, evaluate_constants
from fastfeat.plan.lower.lower import NodeTypes, output_of
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.plan.lower.schedule import ROWS, ScheduledTask
from fastfeat.scalars.value import InputSlot
from fastfeat.scalars.zones import use_zone_tables
from fastfeat.steps.registry import step_function
from fastfeat.steps.step import Argument, function_of_row

Line = list[Any]
"""The values of a row; each value has a fixed index, its place."""
Action = Callable[[Line], None]
"""Function that computes a result from a row's list, and appends it to the list."""
Unary = tuple[Callable[[Any], Any], int]
"""A function of one value, and the index of that value in a row's list."""
InputConverter = Callable[[Sequence[Any]], Sequence[Any]]
"""Function that converts input values, of known Python types, to their stored form."""
MOST_KINDS = 256
"""Number of combinations of Python types in a row for which readers are cached."""
_FLOAT32 = struct.Struct("<f")
_MISSING = {"f64": NAN, "i64": 0, "b1": False}


class DoesNotFit(Exception):
    """Raised for a row that must be computed by the plain definitions."""


@dataclass(slots=True)
class _Layout:
    """Indices of values in a row's list, and the functions that fill it; grows while preparing.

    Args:
        fitted: The plan.
        tables: Columns of lookup tables.
        places: Index in the list of each column, constant, step, computed expression, and program
            input made of text.
        constants: Constants, which follow the input values in the list.
        actions: Functions that append the other values to the list, in order.
        unary: Functions of one value that are not among the actions yet, with the value's index.
        n_places: Length of the list so far.
    """

    fitted: Fitted
    tables: Mapping[Node, Any]
    places: dict[Node | InputSlot, int] = field(default_factory=dict[Node | InputSlot, int])
    constants: list[Any] = field(default_factory=list[Any])
    actions: list[Action] = field(default_factory=list[Action])
    unary: list[Unary] = field(default_factory=list[Unary])
    n_places: int = 0


def prepared_row(fitted: Fitted, tables: Mapping[Node, Any]) -> RowKernel:
    """Return a function that computes the features of one row.

    Only one thread may call it. It raises an error without details if the row does not fit.
    """
    program, types, steps = fitted.matrix_program, fitted.types, row_steps(fitted)
    given = _given(fitted, has_steps=len(steps) > 0)
    layout = _Layout(fitted, tables)
    for node in given:
        _take_place(layout, node)
    _take_constants(layout, steps)
    for task in fitted.schedule.tasks:
        if task.gives and fitted.schedule.columns[task.gives[0]].space == ROWS:
            _add_task(layout, task)
    slots = [_place_of_slot(layout, slot) for slot in program.inputs]
    _end_group(layout)
    dtype = row_type(fitted)
    ready = row_program(program, fitted.matrix_constants, dtype)
    finish = _stage(ready, program, slots, n_places=layout.n_places)
    args = {arg for step in steps for arg in row_args(step)}
    get, expected, read = prepare_readers(given, types, args)
    actions, constants = layout.actions, layout.constants

    def of_columns(row: Mapping[Any, Any]) -> NDArray[Any]:
        values = get(row)
        kinds = tuple(map(type, values))
        return finish(values if kinds == expected else read(values, kinds))

    def of_more(row: Mapping[Any, Any]) -> NDArray[Any]:
        values = get(row)
        kinds = tuple(map(type, values))
        line = [*(values if kinds == expected else read(values, kinds)), *constants]
        for act in actions:
            act(line)
        return finish(line)

    computed = of_more if constants or actions else of_columns
    rounds = any(slot.dtype.name == "float32" for slot in program.inputs)
    of_floats = any(types[arg].is_float for arg in args)
    return with_ieee_arithmetic(computed) if rounds or of_floats else computed


def _given(fitted: Fitted, *, has_steps: bool) -> list[Node]:
    """Return the inputs of a row: columns, and window functions, which the caller has computed."""
    if not has_steps:
        sources = [source for slot in fitted.matrix_program.inputs for source in slot.sources]
        return [*dict.fromkeys(sources)]
    nodes = row_order([*fitted.nodes.values(), *fitted.declaration.nodes.values()])
    return [node for node in nodes if isinstance(node, Column) or is_over_window(node)]


def _take_place(layout: _Layout, name: Node | InputSlot) -> int:
    place = layout.places[name] = layout.n_places
    layout.n_places += 1
    return place


def _take_constants(layout: _Layout, steps: Iterable[Node]) -> None:
    """Append the constants that steps read to the layout: learnt values, and literals."""
    fitted = layout.fitted
    for step in steps:
        if isinstance(step, Aggregate):
            _take_place(layout, step)
            layout.constants.append(fitted.constants[step])
        for arg in row_args(step):
            dtype = fitted.types[arg]
            if isinstance(arg, Literal) and dtype != TABLE and arg not in layout.places:
                _take_place(layout, arg)
                layout.constants.append(stored_literal(arg.value, dtype))


class InputReaders(NamedTuple):
    """The functions that read the values of a row.

    Args:
        get: Returns the input values of a row, in order.
        expected: Python type per value; if all values of a row have these types, they are in stored
            form already. None if values must always be checked.
        read: Takes input values and their Python types, and returns the values in stored form.
    """

    get: Callable[[Mapping[Any, Any]], tuple[Any, ...]]
    expected: tuple[type | None, ...] | None
    read: Callable[[tuple[Any, ...], tuple[type, ...]], Sequence[Any]]


def prepare_readers(given: Sequence[Node], types: NodeTypes, args: Container[Node]) -> InputReaders:
    """Return the functions that read a row's input values and convert them to stored form.

    Args:
        given: The inputs of a row.
        types: Type of every node.
        args: Inputs that steps read. Only their integers are checked here; programs check the size
            of integers themselves.
    """
    plain = [type_as_stored(types[node], is_column=isinstance(node, Column)) for node in given]
    looked_at = [
        (k, types[node])
        for k, node in enumerate(given)
        if types[node].holds_bytes or (node in args and isinstance(node, Column))
    ]
    known = dict[Any, InputConverter]()

    def read(values: tuple[Any, ...], kinds: tuple[type, ...]) -> Sequence[Any]:
        mended = known.get(kinds)
        if mended is None:
            mended = _make_converter(given, types, kinds, plain, looked_at)
            if len(known) < MOST_KINDS:
                known[kinds] = mended
        return mended(values)

    is_looked_at = checks_of(looked_at) is not None
    get = getter([row_key(node) for node in given])
    return InputReaders(get, None if is_looked_at else tuple(plain), read)


def read_stored_values(reading: InputReaders, row: Mapping[Any, Any]) -> Sequence[Any]:
    """Return a row's input values in stored form; a missing float is NaN."""
    values = reading.get(row)
    kinds = tuple(map(type, values))
    return values if kinds == reading.expected else reading.read(values, kinds)


def _make_converter(
    given: Sequence[Node],
    types: NodeTypes,
    kinds: Sequence[type],
    plain: Sequence[type | None],
    looked_at: Sequence[tuple[int, DType]],
) -> InputConverter:
    """Return a function that converts input values of the Python types `kinds` to stored form.

    `plain` has the Python type of each input that needs no conversion; `looked_at` the indices and
    types of inputs that are checked even then.
    """
    other = [k for k, (kind, wanted) in enumerate(zip(kinds, plain, strict=True))
             if kind is not wanted]  # fmt: skip
    readers = [
        (k, reader_of(types[given[k]], kinds[k], names_of([given[k]])[0]))
        for k in other
        if kinds[k] is type(None) or isinstance(given[k], Column)
    ]
    check = checks_of([(k, dtype) for k, dtype in looked_at if kinds[k] is plain[k]])

    if not readers and check is not None:

        def checked(values: Sequence[Any]) -> Sequence[Any]:
            check(values)
            return values

        return checked

    def mended(values: Sequence[Any]) -> Sequence[Any]:
        found = [*values]
        for place, read in readers:
            found[place] = read(found[place])
        if check is not None:
            check(values)
        return found

    return mended


def _add_task(layout: _Layout, task: ScheduledTask) -> None:
    """Add a scheduled task's functions to the layout; window functions are inputs and need none."""
    if task.kind == "program":
        _compute(layout, task.nodes)
    elif task.kind != "windows":
        for node in task.nodes:
            _add_step(layout, node)


def _add_step(layout: _Layout, step: Node) -> None:
    """Add a step's function to the layout; the layout must have its inputs already."""
    if isinstance(step, Aggregate):
        return  # a constant
    assert isinstance(step, Call)
    fitted = layout.fitted
    places = [_place_of_key(layout, arg) for arg in row_args(step) if _is_of_row(arg, fitted)]
    if is_over_table(step):
        function = over_table_function(step, fitted, layout.tables)
    else:
        args = [_known(layout, arg, step) for arg in step.args]
        function = function_of_row(step_function(step), args, dict(step.params))
    _add(layout, step, function, places)


def _add(
    layout: _Layout, name: Node | InputSlot, function: Callable[..., Any], places: Sequence[int]
) -> int:
    """Add a function of the list's values at `places`; return the index of its result."""
    match places:
        case [place]:
            if place >= layout.n_places - len(layout.unary):
                _end_group(layout)
            layout.unary.append((function, place))
        case _:
            _end_group(layout)
            pick = getter(places)
            layout.actions.append(lambda line: line.append(function(*pick(line))))
    return _take_place(layout, name)


def _end_group(layout: _Layout) -> None:
    """Turn the functions in `unary` into one action, which appends all their results."""
    match [*layout.unary]:
        case []:
            return
        case [(function, place)]:
            layout.actions.append(lambda line: line.append(function(line[place])))
        case group:
            layout.actions.append(
                lambda line: line.extend([function(line[place]) for function, place in group])
            )
    layout.unary.clear()


def _is_of_row(arg: Node, fitted: Fitted) -> bool:
    """Return whether a step's argument can differ between rows: it is no learnt value or table."""
    return fitted.types[arg] not in (VOCABULARY, TABLE) and not isinstance(arg, TableColumn)


def _known(layout: _Layout, arg: Node, step: Call) -> Argument:
    """Return a step's argument, with its value if the value is the same for all rows."""
    fitted = layout.fitted
    dtype = fitted.types[arg]
    match arg:
        case _ if dtype == VOCABULARY:
            return Argument(fitted.constants[arg], dtype)
        case TableColumn():
            return Argument(layout.tables[arg], dtype)
        case Literal() if dtype == TABLE:
            return Argument(code_plans.listed_vocabulary(arg, fitted.types[step.args[0]]), dtype)
        case _:
            return Argument(None, dtype)


def _place_of_key(layout: _Layout, node: Node) -> int:
    """Return the index of a step's argument in the row's list.

    For floats it is the index of a copy in which missing is None instead of NaN, and -0.0 is 0.0.
    """
    place, dtype = layout.places[node], layout.fitted.types[node]
    if not dtype.is_float or not (isinstance(node, Column) or is_over_window(node)):
        return place
    as_key = InputSlot("key", (node,), dtype)
    if as_key in layout.places:
        return layout.places[as_key]
    is_rounded = dtype.name == "float32" and isinstance(node, Column)
    return _add(layout, as_key, _key_of_float32 if is_rounded else _key_of_float, [place])


def _key_of_float(value: float) -> float | None:
    return None if value != value else value + 0.0  # 0.0 for -0.0


def _key_of_float32(value: float) -> float | None:
    if value != value:
        return None
    if _FLOAT32.unpack(_FLOAT32.pack(value))[0] != value:
        raise DoesNotFit
    return value + 0.0


def _compute(layout: _Layout, nodes: Sequence[Node]) -> None:
    """Add one program for several expressions over the row, whose results the steps read."""
    fitted = layout.fitted
    types = fitted.types
    known = evaluate_constants(constant_roots(nodes), types, dict(fitted.constants))
    named = [(show(node), node) for node in nodes]
    with use_zone_tables(fitted.zones):
        program = program_of(
            outputs_of(named, types, lambda n, v: output_of(n, v, FLOAT64), hoist=True)
        )
    slots = [_place_of_slot(layout, slot) for slot in program.inputs]
    _end_group(layout)
    run = _stage(row_values_program(program, bind(program, known)), program, slots, n_places=-1)
    layout.actions.append(lambda line: line.extend(run(line)))
    for node in nodes:
        _take_place(layout, node)


def _place_of_slot(layout: _Layout, slot: InputSlot) -> int:
    """Return the index of the value of a program's input in the row's list."""
    if slot.kind == "column":
        return layout.places[slot.sources[0]]
    if slot in layout.places:
        return layout.places[slot]
    function = function_of_text(slot, [layout.fitted.types[source] for source in slot.sources])
    return _add(layout, slot, function, [layout.places[source] for source in slot.sources])


def _as_it_is(value: Any) -> Any:
    return value


def _stage(
    ready: RowProgram, program: Program, places: Sequence[int], n_places: int
) -> Callable[[Sequence[Any]], Any]:
    """Return a function that runs a program over a row's list and returns the program's result.

    `places` are the indices of the program's inputs in the list, which has `n_places` values.
    """
    slots = program.inputs
    fill, run, result = _filling(ready, slots), ready.run, ready.result
    pick = _as_it_is if places == [*range(n_places)] else getter(places)
    optional = [k for k, slot in enumerate(slots) if _may_lack(slot)]
    pick_optional = getter([places[k] for k in optional])
    missing = [_MISSING[slot.dtype.physical] for slot in slots]
    all_there = bytes([1] * len(ready.present))

    def compute(line: Sequence[Any]) -> Any:
        if optional and None in pick_optional(line):
            return compute_with_missing([*pick(line)])
        fill(*pick(line))
        if run():
            raise DoesNotFit
        return result()

    def compute_with_missing(values: Line) -> Any:
        lacking = [k for k in optional if values[k] is None]
        for k in lacking:
            values[k] = missing[k]
        fill(*values)
        for k in lacking:
            ready.present[k] = 0  # `ready` must stay alive: `run` works in its memory
        status = run()
        ready.present[:] = all_there
        if status:
            raise DoesNotFit
        return result()

    return compute


def _filling(ready: RowProgram, slots: Sequence[InputSlot]) -> Callable[..., None]:
    """Return a function that writes input values into a program's memory.

    It raises `DoesNotFit` if a float32 would round a value.
    """
    narrow = [k for k, slot in enumerate(slots) if slot.dtype.name == "float32"]
    rounds = [k for k in narrow if isinstance(slots[k].sources[0], Column)]
    if not rounds:
        return ready.pack
    pack, rounded, pick = ready.pack, ready.rounded, getter(rounds)
    pick_rounded = getter([narrow.index(k) for k in rounds])
    bits = struct.Struct(f"<{len(rounds)}d").pack

    def fill(*values: Any) -> None:
        pack(*values)
        given, packed = pick(values), pick_rounded(rounded())
        if packed != given and bits(*packed) != bits(*given):  # bits: NaN is not NaN
            raise DoesNotFit

    return fill


def _may_lack(slot: InputSlot) -> bool:
    """Return whether the value of a program's input may be None; missing input floats are NaN."""
    (source, *_) = slot.sources
    if slot.kind in ("valid", "valid_bytes"):
        return False
    if isinstance(source, Column) or is_over_window(source) or slot.kind != "column":
        return not slot.dtype.is_float
    return not isinstance(source, Call) or not step_function(source).always_present
