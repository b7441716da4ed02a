"""Rules as sentences: each shape that people write, and the text of a report."""

from __future__ import annotations

import datetime

import pytest
from typer.testing import CliRunner

import fastfeat as ff
from fastfeat import col
from fastfeat.trust.quality.sentences import sentence_of

X, S = col("x"), col("s")
DAY = datetime.date(2024, 1, 2)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (X > 0, "x is above 0"),
        (X >= 0, "x is at least 0"),
        (X < 1.5, "x is below 1.5"),
        (X <= 1, "x is at most 1"),
        (X == 1, "x is 1"),
        (X != 1, "x is not 1"),
        (col("y") < X, "y is below x"),
        ((X > 0) | X.is_null(), "x is above 0, or missing"),
        (X.is_null(), "x is missing"),
        (X.is_not_null(), "x is never missing"),
        (X.is_between(0, 5), "x is between 0 and 5"),
        (X.is_between(0, 5, closed="left"), "x is at least 0, and below 5"),
        (X.is_between(0, 5, closed="right"), "x is above 0, and at most 5"),
        (X.is_between(0, 5, closed="none"), "x is above 0, and below 5"),
        (
            (X.is_between(0, 5) | X.is_infinite()) | X.is_null(),
            "x is between 0 and 5, or infinite, or missing",
        ),
        (S.is_in(["a"]), "s is 'a'"),
        (S.is_in(["a", "b"]) | S.is_null(), "s is one of 'a', 'b', or missing"),
        (X.is_in([*range(9)]), "x is one of 0, 1, 2, 3, 4, 5 and 3 more"),
        ((S.str.len_chars() <= 8) | S.is_null(), "s is at most 8 characters long, or missing"),
        (col("t") >= DAY, "t is not before 2024-01-02"),
        (ff.lit(1).count(by="k") == 1, "no two rows have the same k"),
        (ff.lit(1).count(by=["k", "l"]) == 1, "no two rows have the same k and l"),
        (col("k").count(by="k") == 1, "no two rows have the same k"),
        (X.count(by="k") == 1, ""),
        ((X + 1).abs() > 0, "(col('x') + 1).abs() is above 0"),
        ((X > 0) | col("y").is_null(), ""),  # of another column
        ((X > 0) & (X < 9), ""),
        (S.str.starts_with("a"), ""),
    ],
)
def test_a_rule_has_a_sentence(rule: ff.Expr, sentence: str) -> None:
    assert sentence_of(rule.node) == sentence


def test_a_share_of_missing_values_is_told_in_percent() -> None:
    table = {"x": [1.0, None, 3.0, 4.0] * 100}
    result = ff.infer_contract(table).check(table)["x: missing"]
    assert result.says.startswith("at most 43.")
    assert result.says.endswith(" % of x is missing, with an allowance for chance")
    assert result.text.startswith("col('x').is_null().sum() <=")


def test_the_text_of_a_report_begins_with_findings() -> None:
    report = ff.Contract({"a": X.is_not_null(), "b": X > 1, "c": X < 9}).check({"x": [1.0, 2.0]})
    assert report.as_text().splitlines() == [
        "2 rows, 3 rules: 1 finding",
        "FAIL 'b': x is above 1; 1 of 2 rows breaks it: row 0 (x=1.0)",
        "ok   2 rules hold",
    ]
    assert repr(report).splitlines()[2:] == ["ok   a: x is never missing", "ok   c: x is below 9"]


def test_the_command_lists_rules_that_hold_where_asked(tmp_path: object) -> None:
    from pathlib import Path

    from fastfeat.apps.cli.commands import app

    folder = Path(str(tmp_path))
    (folder / "rules.json").write_text(ff.Contract({"a": X > 0, "b": X > 1}).to_json())
    (folder / "rows.csv").write_text("x\n1.0\n2.0\n")
    run = CliRunner().invoke
    given = ["check", str(folder / "rules.json"), str(folder / "rows.csv")]
    assert "ok   1 rule holds" in run(app, given).output
    assert "ok   a: x is above 0" in run(app, [*given, "-v"]).output
