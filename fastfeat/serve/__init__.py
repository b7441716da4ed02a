"""A server of features over HTTP, KServe, MLflow and Arrow Flight; the command line imports it."""

from __future__ import annotations

from fastfeat.serve.server import run

__all__ = ["run"]
