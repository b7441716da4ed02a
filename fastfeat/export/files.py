"""The files of an export: a folder with the source, a manifest for programs, a page for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastfeat.errors import InvalidPlan, OutputError, did_you_mean, reason_of
from fastfeat.execute.feature_subset import select_features
from fastfeat.execute.fitted import Fitted
from fastfeat.export import refusals
from fastfeat.export.c import module, page, steps
from fastfeat.export.names import checked_name
from fastfeat.export.record import Export, ExportedFeature
from fastfeat.io.sinks.atomic import write_bytes
from fastfeat.keep.artifact import fitted_digest
from fastfeat.version import __version__

FORMS = ("c",)
DEFAULT_NAME = "row_features"


def export_plan(
    fitted: Fitted, form: str, path: Path, name: str | None = None, *, partial: bool = False
) -> Export:
    """Write a plan in a form; see `FittedPlan.export`."""
    if form not in FORMS:
        hint = did_you_mean(str(form), FORMS)
        raise InvalidPlan(f"form={form!r}: the form of an export is 'c'.{hint}")
    name = checked_name(DEFAULT_NAME if name is None else name)
    fitted = replace(fitted, constants=fitted.learnt)  # keys in the order of their codes
    refused = refusals.refusals(fitted, steps.unsupported)
    features = list(fitted.declaration.features)
    kept = [feature for feature in features if feature not in refused]
    if not partial or not kept:
        refusals.check(refused, len(features), "C")
    digest = fitted_digest(fitted).hex()
    written = select_features(fitted, kept) if refused else fitted
    made = module.c_module(written, name, digest)
    contents = {
        f"{name}.c": made.source.encode(),
        f"{name}.h": made.header.encode(),
        "README.md": page.usage(name, made, list(written.nodes)).encode(),
    }
    files = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    told = _manifest(written, made, digest, files)
    contents[f"{name}.json"] = (json.dumps(told, indent=2) + "\n").encode()
    files[f"{name}.json"] = hashlib.sha256(contents[f"{name}.json"]).hexdigest()
    _write(path, contents, name)
    entries = tuple(
        ExportedFeature(feature, "refused", refused[feature])
        if feature in refused
        else made.costs[feature]
        for feature in features
    )
    return Export(form, path, files, digest, entries, fitted)


def _manifest(
    fitted: Fitted, made: module.CModule, digest: str, files: Mapping[str, str]
) -> dict[str, Any]:
    """Return the content of `NAME.json`."""
    return {
        "abi": module.ABI,
        "digest": digest,
        "fastfeat": __version__,
        "inputs": [
            {"name": one.name, "field": one.field, "type": one.type, "unit": one.unit}
            for one in made.inputs
        ],
        "outputs": [{"name": field.name, "type": str(field.type)} for field in fitted.schema],
        "orders": [],
        "errors": {str(code): name for code, (name, _) in module.ERRORS.items() if code},
        "files": dict(files),
        "golden": made.n_golden,
    }


def _write(folder: Path, contents: Mapping[str, bytes], name: str) -> None:
    """Write the files into a new or empty folder, or over an earlier export of the same name."""
    try:
        if folder.exists():
            others = {one.name for one in folder.iterdir()} - contents.keys()
            if others and not (folder / f"{name}.json").is_file():
                raise OutputError(
                    f"{folder} holds other files, such as {min(others)!r}. Give the export a new "
                    "folder, or that of an earlier export of this name"
                )
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            write_bytes(folder / file, content)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {reason_of(error)}") from error
