"""The pages of the reference: each public name with its docstring and an example."""

from __future__ import annotations

import inspect
import re
from typing import Any

import fastfeat as ff
from docs.publish.docstrings import escaped, markdown
from fastfeat import col

NAMESPACES: dict[str, tuple[str, Any]] = {
    "times": ("dt", col("t").dt),
    "text": ("str", col("s").str),
    "lists": ("list", col("tags").list),
}
CLASSES = {"Plan", "FittedPlan", "Fold", "Learning", "Live", "Contract", "Rule"}
"""Classes with an entry for each member."""
INNER = {
    *("answer_few", "count_late", "count_refused", "expr", "face", "profiling", "records"),
    *("record", "recent", "fill_nan", "is_nan", "is_not_nan"),
}
"""Members that other parts of fastfeat use, and members that only raise an error."""
WIDTH = 88
"""The longest signature on one line."""


def reference_pages() -> dict[str, str]:
    """Return the text of each page of the reference by its path in the site."""
    groups = _groups()
    pages = {f"reference/{_slug(title)}.md": _page(title, names) for title, names in groups.items()}
    return pages | {"reference/index.md": _index(groups)}


def _groups() -> dict[str, list[str]]:
    """Return the names of each task, by the table that `help(fastfeat)` ends with."""
    groups: dict[str, list[str]] = {}
    names: list[str] = []
    for line in (inspect.getdoc(ff) or "").rpartition("\n\n")[2].splitlines():
        if title := line[:16].strip():
            groups[title] = names = []
        if title in NAMESPACES:
            prefix, functions = NAMESPACES[title]
            names += [f".{prefix}.{name}" for name in dir(functions) if _is_shown(name)]
        elif line[16:].startswith("ff.quality: "):
            module, _, functions = line[16:].partition(": ")
            names += [module, *(f"{module}.{name}" for name in functions.split(", "))]
        else:
            names += re.findall(r"(?:ff)?\.\w+", line[16:])
    return groups


def _is_shown(name: str) -> bool:
    return not name.startswith("_") and name not in INNER


def _object(name: str) -> Any:
    """Return the object of a name such as `ff.count`, `.clip` or `.dt.hour`."""
    found: Any = ff if name.startswith("ff.") else ff.Expr
    for part in name.split(".")[1:]:
        spaces = dict(NAMESPACES.values()) if found is ff.Expr else {}
        found = spaces.get(part) or getattr(found, part)
    return found


def _page(title: str, names: list[str]) -> str:
    parts = [f"# Reference: {title}"]
    for name in names:
        of = _object(name)
        parts.append(_entry(name, of, level=2))
        if name == "ff.errors":
            parts.append(_errors())
        if (owner := name.removeprefix("ff.")) in CLASSES:
            members = [(member, getattr(of, member)) for member in dir(of) if _is_shown(member)]
            told = [(member, of) for member, of in members if inspect.getdoc(of)]
            parts += [_entry(f"{owner}.{member}", of, level=3) for member, of in told]
    return "\n\n".join(parts) + "\n"


def _entry(title: str, of: Any, level: int) -> str:
    heading = f"{'#' * level} `{title}` {{ #{_anchor(title)} }}"
    text = inspect.getdoc(of) or ""
    if inspect.ismodule(of):
        text = text.splitlines()[0]
    return "\n\n".join(part for part in (heading, _signature(title, of), markdown(text)) if part)


def _errors() -> str:
    """Return a list of all errors and warnings, with a line of each."""
    classes: list[type[Exception]] = [
        of
        for of in vars(ff.errors).values()
        if inspect.isclass(of) and issubclass(of, Exception) and of.__module__ == "fastfeat.errors"
    ]
    return "\n".join(
        f"- `{of.__name__}`: {escaped((of.__doc__ or '').splitlines()[0])}" for of in classes
    )


def _signature(title: str, of: Any) -> str:
    """Return a block of code with the parameters and their defaults; nothing for a value."""
    if isinstance(of, property) or not callable(of):
        return ""
    try:
        parameters = list(inspect.signature(of).parameters.values())
    except (TypeError, ValueError):
        return ""
    is_method = parameters and parameters[0].name in ("self", "cls")
    is_operator = title.startswith(".") and title.count(".") == 1  # its first parameter is x
    words: list[str] = []
    for parameter in parameters[1 if is_method or is_operator else 0 :]:
        if parameter.kind is parameter.KEYWORD_ONLY and not any("*" in word for word in words):
            words.append("*")
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        words.append(f"{star}{parameter.name}{default}")
    called = f"x{title}" if title.startswith(".") else title
    line = f"{called}({', '.join(words)})"
    if len(line) > WIDTH:
        line = "\n".join([f"{called}(", *(f"    {word}," for word in words), ")"])
    return f"```python\n{line}\n```"


def _index(groups: dict[str, list[str]]) -> str:
    rows = ["# Reference", "", "Every public name, by task. The examples run in the tests.", ""]
    rows += ["| | |", "|---|---|"]
    for title, names in groups.items():
        page = f"{_slug(title)}.md"
        links = " ".join(f"[`{name}`]({page}#{_anchor(name)})" for name in names)
        rows.append(f"| [{title}]({page}) | {links} |")
    rows += ["", "[Parameters](../parameters.md) has types, bounds and defaults of all parameters."]
    return "\n".join(rows) + "\n"


def _slug(title: str) -> str:
    return re.sub(r"\W+", "_", title)


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")
