"""A server of features over HTTP, KServe, MLflow and Arrow Flight; the command line imports it.

`run(artifact, *, state=, history=, tables=, host=, port=, uds=, token=, token_file=, tls_cert=,
tls_key=, flight_port=, max_body=, max_rows=, max_waiting=, follow=, watch=, name=, late=, keep=,
max_ahead=, durability=, said=)` serves until SIGTERM or SIGINT. It returns once all received
requests are answered and the state is on disk. It raises InvalidPlan for invalid options, and
another FastfeatError if the artifact or the state cannot be opened.

A request goes from `wire` (HTTP) through `app` (limits, access, refusals) and `routes` to its
handler (in `calls`, `kserve`, `mlflow`, `status`, `explain_calls` or `artifacts`), and from there
through `service` to `call_scheduler`, which calls the live plan. `flight` sends its batches to the
same scheduler.
"""

from __future__ import annotations

from fastfeat.apps.serve.server import run

__all__ = ["run"]
