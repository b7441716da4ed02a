"""The page of usage beside exported C; names of columns stand in the manifest alone."""

from __future__ import annotations

from collections.abc import Sequence

from fastfeat.export.c.module import CModule


def usage(name: str, made: CModule, outputs: Sequence[str]) -> str:
    """Return the page in Markdown."""
    rows = "\n".join(
        f"| {k} | `{one.field}` | {one.type} | {one.unit or ''} |"
        for k, one in enumerate(made.inputs)
    )
    return f"""\
# {name}

Features of a row in C11, without allocation, threads or a math library. Compile the one file:

```
cc -std=c11 -O2 -shared -fPIC {name}.c -o lib{name}.so
```

On x86-64 `-march=x86-64-v3` makes it faster; the bits are the same. `-D{name}_PORTABLE` uses no
instruction for square roots, rounding and fused multiply-add.

```c
#include "{name}.h"

{name}_row row = {{0}};
double out[{name}_N_OUTPUTS];
{name}_error error;
/* row.FIELD = ...; row.valid[NUMBER] = 1; */
if ({name}_features(&row, NULL, out, &error))
    puts({name}_message(error.code));
```

`{name}_batch` takes columns, and writes `out` row by row. `{name}_selftest` computes
{made.n_golden} golden rows; anything but 0 means that this compiler gives other bits. A missing
value in `out` has the bits 7ff8000000000000.

## Inputs

Names of columns and outputs are in `{name}.json`, in this order. Dates are days since 1970, and
times, timestamps and durations are integers in their unit.

| number | field | type | unit |
|---|---|---|---|
{rows}

There are {len(outputs)} outputs.
"""
