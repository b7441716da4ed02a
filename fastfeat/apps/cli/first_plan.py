"""The command `infer-plan`: a first plan from a raw table, as Python source."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from fastfeat.apps.cli.command_options import InferPlanOptions
from fastfeat.apps.cli.options import with_options_of
from fastfeat.errors import counted
from fastfeat.progress import show_progress


@with_options_of(InferPlanOptions)
def infer_plan(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Parquet, Arrow IPC, Feather, CSV or TSV: a file, a folder, a pattern or an "
            "address.",
        ),
    ],
    *,
    options: InferPlanOptions,
) -> None:
    """Infer a first plan from data, as Python source to edit."""
    from fastfeat.api.infer_plan import infer_plan as infer
    from fastfeat.io.sinks.atomic import write_bytes

    with show_progress(f"Reading {data}", at_once=True):
        inferred = infer(
            data,
            label=options.label,
            time=options.time,
            entity=options.entity,
            exclude=options.exclude or (),
        )
        write_bytes(options.out, inferred.to_python().encode(), durable=False)
    kinds = Counter(note.kind for note in inferred.notes)
    n_features = len(inferred.plan.features)
    others = [f"{counted(kinds[kind], 'column')} {text}" for kind, text in _OTHERS if kinds[kind]]
    typer.echo(", ".join([f"{options.out}: {counted(n_features, 'feature')}", *others]))


_OTHERS = (("left out", "left out"), ("leak?", "that may leak"))
