"""`explain`: a plan as text, at each stage of its life.

A step is a function that is computed for a whole column at once, such as a lookup of keys; all
other functions are computed row by row in loops. The host is the machine's main processor and
memory, in contrast to a device (a graphics card).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from fastfeat.aggregates import is_target
from fastfeat.engine.program import Program
from fastfeat.errors import InvalidPlan, counted
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import (
    Aggregate,
    Call,
    Column,
    GroupFrame,
    Node,
    TableColumn,
    TrainingFrame,
    postorder,
)
from fastfeat.ir.scope import is_over
from fastfeat.ir.show import names_of, show, show_all
from fastfeat.plan.declare.bind import ColumnTypes, TableTypes, bind
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower import indicators
from fastfeat.plan.lower.lower import NodeTypes, constant_nodes
from fastfeat.plan.lower.outputs import arrow_program
from fastfeat.plan.lower.schedule import Purpose
from fastfeat.plan.lower.scheduling import scans_of, schedule_of
from fastfeat.plan.lower.typed import TypedPlan
from fastfeat.steps.registry import STEPS, host_step, is_step
from fastfeat.tell.explain_leakage import describe_leakage
from fastfeat.tell.explain_live import describe_live, describe_windows, is_window
from fastfeat.tell.explain_schedule import describe_schedule

_MOST_NAMES = 3
UNTYPED = ("plan", "leakage", "live")
TYPED = ("bound", "optimized", "schedule", "physical", "cpu", "cuda")
OF_PEERS = ("pandas", "polars")
"""Stages of a fitted plan that show its features as code of another library; see `peers`."""
OF_DATA = "passes"
"""The stage that needs the data of a future fit; `describe_passes` shows it."""


def explain_plan(
    plan: Declaration,
    stage: str,
    schema: ColumnTypes | None,
    nodes: Mapping[str, Node] | None = None,
    tables: TableTypes | None = None,
    codes: Mapping[str, DType] | None = None,
) -> str:
    """Return a plan as text at a stage.

    Args:
        plan: The plan.
        stage: Name of the stage, such as "leakage".
        schema: Column types, for the stages that need them.
        nodes: Expression of each output column of a fitted plan; None if the plan is not fitted.
        tables: Column types of lookup tables.
        codes: Integer types of the columns that are codes of categories, by name, if they differ
            from the types of their expressions.

    Raises:
        InvalidPlan: An unknown stage, or one that needs column types, a fitted plan or files.
    """
    if stage == "plan":
        return _plan(plan)
    if stage == "leakage":
        return describe_leakage(plan.nodes, plan.known_late)
    if stage == "live":
        return describe_live(plan)
    if stage == OF_DATA:
        raise InvalidPlan(
            f"stage {stage!r} shows how a fit would read its training files. Use "
            f"plan.explain({stage!r}, schema=files) on the plan before it is fitted"
        )
    if stage in OF_PEERS:
        raise InvalidPlan(
            f"stage {stage!r} needs a fitted plan, because its code contains learnt values. Use "
            f"fitted.explain({stage!r})"
        )
    if stage not in TYPED:
        known = ", ".join(map(repr, (*UNTYPED, *TYPED, OF_DATA, *OF_PEERS)))
        raise InvalidPlan(f"there is no stage {stage!r}. The stages are: {known}")
    if schema is None:
        raise InvalidPlan(
            f"stage {stage!r} needs the types of the columns. Use fitted.explain({stage!r}), or "
            f"plan.explain({stage!r}, schema=table.schema)"
        )
    fixed = {name: node for name, node in plan.nodes.items() if not indicators.is_one_hot(node)}
    columns = fixed if nodes is None else nodes
    types = bind([*plan.nodes.values(), *columns.values()], schema, tables)
    typed = TypedPlan(columns, plan.dtype, schema, tables or {}, types, {}, codes)
    stages: dict[str, Callable[[Declaration, NodeTypes], str]] = {
        "bound": lambda p, t: _bound(p, t, columns),
        "optimized": _optimized,
        "schedule": _schedules,
        "physical": lambda p, t: _physical(p, t, arrow_program(typed, columns, t)),
        "cpu": lambda p, t: _kernel(arrow_program(typed, columns, t)),
        "cuda": lambda p, t: _cuda(p, t, arrow_program(typed, columns, t)),
    }
    return stages[stage](plan, types)


def _plan(plan: Declaration) -> str:
    shown = show_all(list(plan.nodes.values()))
    lines = [f"{name} = {shown[node]}" for name, node in plan.nodes.items()]
    return "\n".join([*lines, *_label(plan), "", _scans(plan), *_steps(plan)])


def _label(plan: Declaration) -> list[str]:
    """Return the label's expression as lines of text; none if the label has no expression."""
    if plan.label is None or isinstance(plan.label, str):
        return []
    shown = [f"label {name} = {show(node)}" for name, node in plan.label_nodes.items()]
    if plan.looks_ahead:
        shown.append("  looks ahead: fit learns nothing from rows without a label")
    return shown


def _steps(plan: Declaration, types: NodeTypes | None = None) -> list[str]:
    """Return lines on the steps, with "kernel" or "host" (Arrow) for each, and on the windows."""

    def place(step: Call) -> str:
        return "kernel" if host_step(step) is None else "host"

    roots = list(plan.nodes.values())
    lines = _computed_by([n for n in postorder(roots) if not is_over(n)], types, place)
    steps = ["", "steps, which compute whole columns:", *lines] if lines else []
    return [*steps, *describe_windows(roots)]


def _steps_of_a_device(plan: Declaration, types: NodeTypes) -> list[str]:
    """Return a comment line for each step that says whether a device or the host runs it."""
    from fastfeat.backends.device import place_of

    def place(step: Call) -> str:
        return place_of(step, [types[arg] for arg in step.args])

    lines = _computed_by(postorder(list(plan.nodes.values())), types, place)
    shown = ["steps, which compute whole columns:", *lines] if lines else []
    return [f"// {line}" for line in shown]


def _learnt_with_a_device(plan: Declaration) -> list[str]:
    """Return comment lines on learnt values: those that a device backend leaves to the host.

    For values per group, a line says whether the device or the host computes them.
    """
    from fastfeat.engine.gpu.learn.learn import is_learnt_on_device
    from fastfeat.steps.keys.gpu.groups import is_found_on_device

    nodes = postorder(list(plan.nodes.values()))
    aggregates = [n for n in nodes if isinstance(n, Aggregate)]
    groups = [n for n in aggregates if isinstance(n.frame, GroupFrame)]
    in_host = [
        n
        for n in aggregates
        if isinstance(n.frame, TrainingFrame) and not is_learnt_on_device(n.function)
    ]
    shown = show_all([*in_host, *groups])
    of_all = [f"  on the host: {shown[one]}" for one in in_host]
    of_groups = [
        f"  {'on the device' if is_found_on_device(one.function) else 'on the host'}: {shown[one]}"
        for one in groups
    ]
    lines = ["learnt from all rows, not supported on a device:", *of_all] if of_all else []
    lines += ["learnt per group:", *of_groups] if of_groups else []
    return [f"// {line}" for line in lines]


def _computed_by(
    nodes: Iterable[Node], types: NodeTypes | None, place: Callable[[Call], str]
) -> list[str]:
    """Return a line for each step, prefixed by `place(step)`.

    Without `types`, choices between texts cannot be recognized as steps.
    """
    calls = [n for n in nodes if isinstance(n, Call) and not is_window(n)]
    steps = [n for n in calls if (is_step(n, types) if types else n.function in STEPS)]
    shown = show_all(steps)
    return [f"  {place(step)}: {shown[step]}" for step in steps]


def _scans(plan: Declaration) -> str:
    """Return the passes of fit over the training rows as text, with the aggregates of each."""
    scans = scans_of(list(plan.nodes.values()))
    if not scans:
        return "fit: nothing to learn, no scan of the training rows"
    shown = show_all([aggregate for scan in scans for aggregate in scan])
    lines = [f"fit: {counted(len(scans), 'scan')} of the training rows"]
    for k, scan in enumerate(scans):
        lines += [f"  scan {k + 1}:", *(f"    {shown[aggregate]}" for aggregate in scan)]
    return "\n".join(lines)


def _bound(plan: Declaration, types: NodeTypes, made: Mapping[str, Node]) -> str:
    roots = list(plan.nodes.values())
    shown = show_all(roots)
    columns = [node for node in postorder(roots) if isinstance(node, Column)]
    width = min(60, max((len(column.name) for column in columns), default=0))
    lines = ["columns:"]
    lines += _indented(f"{column.name:{width}}  {types[column]}" for column in columns)
    looked_up = [node for node in postorder(roots) if isinstance(node, TableColumn)]
    if looked_up:
        lines += ["columns of lookup tables:"]
        lines += _indented(f"{c.table}[{c.name!r}]  {types[c]}" for c in looked_up)
    lines += ["features:"]
    lines += [
        f"  {name}: {_width(name, node, made) or types[node]} = {shown[node]}"
        for name, node in plan.nodes.items()
    ]
    return "\n".join(lines)


def _width(feature: str, node: Node, made: Mapping[str, Node]) -> str:
    """Return the number of columns of a one-hot feature, with the first names, as text.

    `made` has the output columns of the fitted plan by name. "" for other features, and before fit.
    """
    if not indicators.is_one_hot(node):
        return ""
    of_codes = (name for name, column in made.items() if column.args[:1] == node.args[:1])
    names = [name for name in of_codes if name.startswith(f"{feature}_")]
    if not names:
        return ""
    more = ", ..." if len(names) > _MOST_NAMES else ""
    listed = ", ".join(names[:_MOST_NAMES])
    return f"{counted(len(names), 'column')} of uint8 ({listed}{more})"


def _optimized(plan: Declaration, types: NodeTypes) -> str:
    """Return lines on the expressions computed once before all rows, and on shared ones.

    Shared expressions are read by several features or expressions, and computed once per row.
    """
    nodes = _transform_nodes(list(plan.nodes.values()))
    constant = constant_nodes(nodes)
    users = [node for node in nodes if not isinstance(node, Aggregate)]
    n_users = Counter(argument for node in users for argument in node.args)
    n_users.update(plan.nodes.values())  # a feature is a use too
    hoisted = [n for n in nodes if n in constant and n.args]
    shared = [n for n in nodes if n_users[n] > 1 and n.args and n not in constant]
    shared = [node for node in shared if not is_window(node)]
    shown = show_all([*hoisted, *shared])
    lines = ["computed once, before all rows:", *_indented(shown[n] for n in hoisted)]
    return "\n".join([*lines, "computed once per row:", *_indented(shown[n] for n in shared)])


def _schedules(plan: Declaration, types: NodeTypes) -> str:
    """Return the tasks that run a plan, as text: first those of fit, then those of transform.

    Learning from rows that arrive in parts, and the features of training rows, are listed
    separately if their tasks differ.
    """
    learnt = [n for n in postorder(list(plan.nodes.values())) if isinstance(n, Aggregate)]
    purposes: list[Purpose] = ["apply"]
    if any(map(is_target, learnt)):
        purposes.insert(0, "training")
    schedules = [schedule_of(plan.nodes, types, purpose) for purpose in purposes]
    if learnt:
        whole, in_parts = (schedule_of(plan.nodes, types, p) for p in ("fit", "fit in parts"))
        schedules[:0] = [whole] if in_parts.tasks == whole.tasks else [whole, in_parts]
    return "\n\n".join(map(describe_schedule, schedules))


def _indented(texts: Iterable[str]) -> list[str]:
    return [f"  {text}" for text in texts] or ["  nothing"]


def _transform_nodes(roots: Sequence[Node]) -> list[Node]:
    """Return the nodes that are no arguments of aggregates, so that transform computes them."""
    reached, order = set(roots), postorder(roots)
    for node in reversed(order):
        if node in reached and not isinstance(node, Aggregate):
            reached.update(node.args)
    return [node for node in order if node in reached]


def _physical(plan: Declaration, types: NodeTypes, program: Program) -> str:
    from fastfeat.engine.cpu.compiled import compiled

    lines = [_scans(plan), *_steps(plan, types), "", "transform:"]
    for k, loop in enumerate(compiled(program).loops):
        runs, steps = len(loop.instances), counted(len(loop.shape.steps), "step")
        lines.append(f"  loop {k}: {steps}, run for {counted(runs, 'group')} of outputs")
        for instance in loop.instances[:4]:
            reads = ", ".join(
                dict.fromkeys(c for slot in instance.inputs for c in names_of(slot.sources))
            )
            writes = ", ".join(program.outputs[o].name for o in instance.outputs)
            lines.append(f"    {writes} <- {reads or 'constants'}")
        if runs > 4:
            lines.append(f"    ... and {runs - 4} more of the same shape")
    return "\n".join(lines)


def _kernel(program: Program) -> str:
    """Return the LLVM code of the plan's kernel, with comments on the columns of each loop."""
    from fastfeat.engine.cpu.compiled import compiled

    laid_out = compiled(program)
    text = laid_out.text()
    for k, loop in enumerate(laid_out.loops):
        lines: list[str] = []
        for instance in loop.instances[:4]:
            read = [f"x{j} {'/'.join(names_of(s.sources))}" for j, s in enumerate(instance.inputs)]
            outputs = enumerate(instance.outputs)
            written = ", ".join(f"y{j} {program.outputs[o].name}" for j, o in outputs)
            row = f"; loop {k}: {written} <- {', '.join(read) or 'constants'}"
            lines.append(" ".join(row.split()))
        if len(loop.instances) > 4:
            lines.append(f"; loop {k}: and {len(loop.instances) - 4} more of the same shape")
        head = f"define internal i64 @loop_{k}("
        text = text.replace(head, "\n".join([*lines, head]), 1)
    return text


def _cuda(plan: Declaration, types: NodeTypes, program: Program) -> str:
    """Return the CUDA code of the plan's kernels, after comments on steps and learnt values."""
    from fastfeat.engine.gpu.programs.program import device_program, text_of

    lines = [*_steps_of_a_device(plan, types), *_learnt_with_a_device(plan)]
    for k, loop in enumerate(device_program(program).loops):
        for j, instance in enumerate(loop.instances[:4]):
            reads = ", ".join("/".join(names_of(slot.sources)) for slot in instance.inputs)
            writes = ", ".join(program.outputs[o].name for o in instance.outputs)
            row = f"loop_{k}, blockIdx.y {j}: {writes} <- {reads or 'constants'}"
            lines.append(" ".join(f"// {row}".split()))
        if len(loop.instances) > 4:
            lines.append(f"// loop_{k}: and {len(loop.instances) - 4} more of the same shape")
    return "\n".join([*lines, text_of(program, False)])
