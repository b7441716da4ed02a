"""Services of the pages: uvicorn in a process of its own, and the requests of `curl` lines."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastfeat_tests.docs.pages import ROOT
from fastfeat_tests.patience import PATIENCE_S


@contextmanager
def started(folder: Path, *command: str, says: str) -> Generator[str]:
    """Yield the first group of a pattern in the output of a Python program, then end it."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "kernels"), str(folder)])
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if found := re.search(says, line):
                yield found[1]
                break
        else:
            raise AssertionError("".join(lines))
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def asked(url: str, body: Any = None) -> tuple[int, Any]:
    """Return the status and the JSON that answer a request; with a body, of a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def of_curl(command: str, port: str) -> tuple[str, Any]:
    """Return the address and the JSON body of a `curl` line, at another port."""
    words = shlex.split(command)
    assert words[:2] == ["curl", "-s"], command
    body = json.loads(words[words.index("-d") + 1]) if "-d" in words else None
    return "http://" + words[2].replace("localhost:8000", f"127.0.0.1:{port}"), body
