"""Docstrings of Google's style as Markdown."""

from __future__ import annotations

import inspect
import re

SECTIONS = ("Args", "Returns", "Raises", "Warns", "Attributes", "Source", "Example", "Examples")


def markdown(text: str) -> str:
    """Return a docstring as Markdown: prose, lists of names, and examples as code."""
    pieces = re.split(rf"^({'|'.join(SECTIONS)}):$", text, flags=re.MULTILINE)
    parts = [_prose(pieces[0])]
    for heading, section in zip(pieces[1::2], pieces[2::2], strict=True):
        body, rest = _body(section)
        match heading:
            case "Example" | "Examples":
                parts.append(f"```pycon\n{body}\n```")
            case "Args" | "Raises" | "Warns" | "Attributes":
                parts.append(f"**{heading}**\n\n{_items(body)}")
            case _:
                parts.append(f"**{heading}**\n\n{_prose(body)}")
        parts.append(_prose(rest))
    return "\n\n".join(part for part in parts if part)


def escaped(text: str) -> str:
    """Return prose in which only text between backticks is marked up."""
    parts = re.split(r"(`+[^`]*`+)", text)
    return "".join(
        part if n % 2 else re.sub(r"([*_<\[\]])", r"\\\1", part) for n, part in enumerate(parts)
    )


def _body(text: str) -> tuple[str, str]:
    """Return the indented lines of a section, without their indent, and the text after them."""
    lines = text.strip("\n").split("\n")
    n = next((k for k, line in enumerate(lines) if line and line[0] != " "), len(lines))
    return inspect.cleandoc("\n".join(lines[:n])), "\n".join(lines[n:])


def _items(text: str) -> str:
    """Return a list of names with their descriptions, each on one line."""
    found: list[tuple[str, str]] = []
    for line in text.split("\n"):
        begins = re.match(r"(\*{0,2}[\w., ]+): (.*)", line)
        if begins:
            found.append((f"`{begins[1]}`: ", begins[2]))
        elif found:
            name, told = found.pop()
            found.append((name, f"{told} {line.strip()}"))
        else:
            found.append(("", line.strip()))
    return "\n".join(f"- {name}{escaped(told)}" for name, told in found)


def _prose(text: str) -> str:
    return "\n\n".join(escaped(" ".join(part.split())) for part in text.strip().split("\n\n"))
