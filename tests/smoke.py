"""What `make test PROFILE=smoke` runs: one file of each folder of tests, to be done in two minutes.

Of a folder it is one that says most for what it takes with no kernel kept: compiling takes most of
the time of tests. Hypothesis draws few examples. `test_smoke.py` says which folder lacks its file.
"""

from __future__ import annotations

SMOKE = (
    "test_imports.py",
    "aggregates/test_power_lambda.py",
    "api/test_plan_api.py",
    "bench/test_bench_units.py",
    "apps/cli/test_reporting.py",
    "compatibility/test_pickle_addresses.py",
    "docs/demos/test_demo_live.py",
    "docs/test_parameters.py",
    "engine/test_learners.py",
    "engine/cpu/test_few_rows.py",
    "engine/gpu/test_computations.py",
    "export/test_certify.py",
    "integrations/test_sklearn_params.py",
    "io/test_conform.py",
    "kernels/test_gather_kernel.py",
    "markup/test_svg.py",
    "live/test_wrong_calls.py",
    "live/ask/test_features_of_rows_errors.py",
    "live/audit/test_audit_digests.py",
    "live/file/test_state_files.py",
    "live/log/test_log_columns.py",
    "live/lower/test_live_plan.py",
    "live/state/test_explain_live.py",
    "operators/test_operator_errors.py",
    "plan/test_equality.py",
    "plan/declare/test_bad_plans.py",
    "learn/test_limits.py",
    "keep/test_plan_json.py",
    "plan/lower/test_patterns.py",
    "execute/test_result_forms.py",
    "tell/test_repr.py",
    "trust/quality/test_contract_json.py",
    "trust/quality/changes/test_diff.py",
    "trust/quality/golden/test_golden.py",
    "trust/report/test_picture.py",
    "scalars/test_truncation.py",
    "trust/selfcheck/test_selfcheck.py",
    "apps/serve/test_rows_of_json.py",
    "steps/keys/test_indicators.py",
    "steps/lists/test_list_errors.py",
    "steps/tables/test_lookup_floats.py",
    "steps/targets/test_targets.py",
    "steps/text/test_text.py",
    "steps/windows/test_places.py",
    "apps/stream/test_stream_messages.py",
    "trust/verify/test_verify_rows.py",
)
"""Files, from the folder of tests."""
NOT_IN_SMOKE = {
    "integrations/engines": "needs Ray, Spark or Dask",
    "execute/row": "compiles for 50 seconds; `live/ask` asks for rows, too",
}
"""Folders without a file there, and why."""
