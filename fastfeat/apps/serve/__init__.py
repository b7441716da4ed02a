"""A server of features over HTTP, KServe, MLflow and Arrow Flight; the command line imports it.

`run(artifact, *, state=, history=, tables=, host=, port=, uds=, token=, token_file=, tls_cert=,
tls_key=, flight_port=, max_body=, max_rows=, max_waiting=, follow=, watch=, name=, late=, keep=,
max_ahead=, durability=, said=)` serves until SIGTERM or SIGINT, and returns once what had come is
answered and the state is on disk. It raises InvalidPlan for options that it does not take, and
another FastfeatError where the artifact or the state cannot be opened.

A request goes from `wire` (HTTP) through `app` (limits, access, refusals) and `routes` to what
answers it (`calls`, `kserve`, `mlflow`, `status`, `explain_calls`, `artifacts`), and from there
through `service` to `work`, which asks the live plan. `flight` gives its batches to the same work.
"""

from __future__ import annotations

from fastfeat.apps.serve.server import run

__all__ = ["run"]
