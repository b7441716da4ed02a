"""`python tests/docs/options.py`: write `docs/options.md` from the rows of options."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastfeat.apps.cli.command_options import COMMANDS
from fastfeat.apps.serve.metrics import METRICS as SERVER_METRICS
from fastfeat.apps.serve.options import ServeOptions
from fastfeat.apps.serve.routes import ENDPOINTS
from fastfeat.apps.stream.config import Config
from fastfeat.apps.stream.metrics import METRICS as STREAM_METRICS
from fastfeat.apps.stream.metrics import PREFIX
from fastfeat.calls.options import (
    REQUIRED,
    Beside,
    ByteSize,
    Named,
    OneOrNamed,
    Option,
    OptionType,
    Seconds,
    Section,
    flags_of,
    options_of,
    type_of,
    words_of,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "options.md"
HEAD = """# Options

Every option of the command line, of a server and of a stream; the addresses of a server, and the
metrics of both. [Live](live.md) explains how these work together. Written by
`python tests/docs/options.py`.

## Options of a server

`fastfeat serve FITTED` takes them with two dashes, `fastfeat.apps.serve.run` as keywords.
"""
OF_ADDRESSES = """
## Addresses of a server

`/openapi.json` describes bodies and answers.
"""
OF_SERVER_METRICS = """
## Metrics of a server

At `/metrics`. With `--drift`, there are [gauges of drift](drift.md) too.
"""
OF_STREAM = """
## Configuration of a stream

Every key of the TOML file that `fastfeat stream` reads. Keys with a comment in brackets may be left
out.
"""
OF_COMMANDS = """
## Options of the commands

The commands that judge, such as `check` and `drift`, also take `--json` and `--junit`.
"""
OF_STREAM_METRICS = """
## Metrics of a stream

At the address `metrics`.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")


def page() -> str:
    """Return the page: a row an option."""
    return "".join(
        [
            HEAD,
            _table("option", "command line", "takes", "default", "is", rows=_server_rows()),
            OF_ADDRESSES,
            _table("address", "method", "is", "parameters", rows=_address_rows()),
            OF_SERVER_METRICS,
            _metrics_table("", SERVER_METRICS),
            OF_STREAM,
            f"\n```toml\n{toml_example()}\n```\n",
            OF_STREAM_METRICS,
            _metrics_table(PREFIX, STREAM_METRICS),
            OF_COMMANDS,
            _table("command", "option", "takes", "default", "is", rows=_command_rows()),
        ]
    )


def _table(*names: str, rows: Iterator[tuple[str, ...]]) -> str:
    lines = ["", f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for row in rows:
        cells = (cell.replace("|", r"\|") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _server_rows() -> Iterator[tuple[str, ...]]:
    for name, row in options_of(ServeOptions).items():
        flag = " ".join(flags_of(name, row))
        yield (
            f"`{name}`",
            f"`{flag}`" if flag else "",
            words_of(type_of(row)),
            _shown(row),
            row.about,
        )


def _command_rows() -> Iterator[tuple[str, ...]]:
    for command, records in COMMANDS.items():
        shown = f"`{command}`"
        for record in records[:1]:
            for name, row in options_of(record).items():
                flags = ", ".join(f"`{flag}`" for flag in flags_of(name, row))
                default = "required" if row.default is REQUIRED else _shown(row)
                yield shown, flags, words_of(type_of(row)), default, row.about
                shown = ""


def _shown(row: Option) -> str:
    return "" if row.default is None or row.default is REQUIRED else f"`{row.default!r}`"


def _address_rows() -> Iterator[tuple[str, ...]]:
    for one in ENDPOINTS:
        told = " ".join(f"`{name}`: {row.about}" for name, row in one.query.items())
        yield f"`{one.path}`", one.method, one.summary, told


def _metrics_table(prefix: str, metrics: Any) -> str:
    rows = (
        (f"`{prefix}{one.name}`", one.kind, ", ".join(one.labels), one.about) for one in metrics
    )
    return _table("metric", "type", "labels", "value", rows=rows)


def toml_example() -> str:
    """Return a configuration of a stream with every key, each below its help."""
    return "\n".join(_toml_lines(Config, "", set())).strip()


def _toml_lines(record: type[Any], place: str, explained: set[type[Any]]) -> Iterator[str]:
    """Yield the lines of a table; of a record that was explained before, only required keys."""
    rows = options_of(record)
    is_known = record in explained
    explained.add(record)
    for row in rows.values():
        kind = type_of(row)
        if isinstance(kind, Beside):
            yield from _comment(row)
            yield from _toml_lines(kind.record, place, explained)
        elif not _is_section(kind) and not (is_known and row.default is not REQUIRED):
            key = kind.one if isinstance(kind, OneOrNamed) else row.key
            yield from [] if is_known else _comment(row)
            yield f"{key} = {row.example}" if row.example else f"# {key}"
    for row in rows.values():
        kind = type_of(row)
        inner = kind.of if isinstance(kind, Named) else kind
        if isinstance(inner, Section):
            at = ".".join(filter(None, (place, row.key, row.example)))
            yield from ("", *_comment(row), f"[{at}]")
            yield from _toml_lines(inner.record, at, explained)


def _is_section(kind: OptionType) -> bool:
    return isinstance(kind.of if isinstance(kind, Named) else kind, Section)


def _comment(row: Option) -> list[str]:
    """Return the help of a row as comments; it is in brackets if the key may be left out."""
    about = row.about
    if row.default is not REQUIRED:
        default = _toml_default(row)
        about = f"[{about} Default: {default}.]" if default else f"[{about}]"
    return textwrap.wrap(about, 98, initial_indent="# ", subsequent_indent="# ")


def _toml_default(row: Option) -> str:
    """Return a default as text of TOML; "" if the help says what happens without a value."""
    match row.default:
        case bool() | int() | float() as number if isinstance(type_of(row), Seconds):
            return f"{number * 1000:g}ms" if number < 1 else f"{number:g}s"
        case int() as size if isinstance(type_of(row), ByteSize):
            return f"{size >> 20}MiB"
        case bool() as flag:
            return str(flag).lower()
        case int() | str() as value:
            return str(value)
        case _:
            return ""


if __name__ == "__main__":
    main()
