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
    "cli/test_reporting.py",
    "compatibility/test_pickle_addresses.py",
    "demo/test_demo_live.py",
    "docs/test_parameters.py",
    "engine/test_learners.py",
    "engine/cpu/test_few_rows.py",
    "engine/gpu/test_computations.py",
    "integrations/test_sklearn_params.py",
    "io/test_conform.py",
    "kernels/test_gather_kernel.py",
    "markup/test_svg.py",
    "online/test_wrong_calls.py",
    "online/ask/test_features_of_rows_errors.py",
    "online/audit/test_audit_digests.py",
    "online/file/test_state_files.py",
    "online/log/test_log_columns.py",
    "online/lower/test_live_plan.py",
    "online/state/test_explain_live.py",
    "operators/test_operator_errors.py",
    "plan/test_equality.py",
    "plan/declare/test_bad_plans.py",
    "plan/fit/test_limits.py",
    "plan/keep/test_plan_json.py",
    "plan/lower/test_patterns.py",
    "plan/run/test_result_forms.py",
    "plan/tell/test_repr.py",
    "quality/test_contract_json.py",
    "quality/changes/test_diff.py",
    "quality/golden/test_golden.py",
    "report/test_picture.py",
    "scalars/test_truncation.py",
    "selfcheck/test_selfcheck.py",
    "serve/test_rows_of_json.py",
    "steps/keys/test_indicators.py",
    "steps/lists/test_list_errors.py",
    "steps/tables/test_lookup_floats.py",
    "steps/targets/test_targets.py",
    "steps/text/test_text.py",
    "steps/windows/test_places.py",
    "stream/test_stream_messages.py",
    "verify/test_verify_rows.py",
)
"""Files, from the folder of tests."""
NOT_IN_SMOKE = {
    "integrations/engines": "needs Ray, Spark or Dask",
    "online/row": "compiles for 50 seconds; `online/ask` asks for rows, too",
}
"""Folders without a file there, and why."""
