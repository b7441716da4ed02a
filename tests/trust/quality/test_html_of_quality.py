"""Tables of checks, changes and drift in notebooks: what was found first, names inert."""

from __future__ import annotations

import re

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.trust.quality.html import share_text

EVIL = "<script>document.title='run'</script>"
ROWS = {EVIL: [1.0, 2.0, -3.0, None], "k": ["a", "b", "</td>", "a"]}


def plain(html: str) -> str:
    """Return the text of a table, without its style."""
    return re.sub("<[^>]*>", " ", re.sub("<style>.*?</style>", "", html, flags=re.DOTALL))


def test_a_check_is_a_table_of_rules_the_broken_ones_first() -> None:
    contract = ff.Contract(
        {
            "holds": col("k").is_not_null(),
            "warns": ff.Rule(col("k") != "a", on_violation="warn"),
            EVIL: col(EVIL) > 0,
            "cannot": col("absent") > 0,
        }
    )
    shown = contract.check(ROWS)._repr_html_()
    assert "<script" not in shown
    assert shown.count('class="bad">broken<') == 1
    assert shown.count('class="bad">cannot be decided<') == 1
    assert shown.count('class="warn">broken (warning)<') == 1
    told = plain(shown)
    order = [told.index(name) for name in ("cannot", "document.title", "warns", "holds")]
    assert order == sorted(order)
    assert "row 2" in told


def test_changes_are_a_table_with_their_verdict() -> None:
    before = ff.Plan({EVIL: col(EVIL) * 2, "kept": col("k").ordinal_encode()}).fit(ROWS)
    after = ff.Plan({"kept": col("k").ordinal_encode()}).fit(ROWS)
    shown = ff.diff(before, after)._repr_html_()
    assert "<script" not in shown
    assert 'class="bad">major<' in shown
    assert "feature removed" in shown
    assert ff.diff(after, after)._repr_html_().count("<tr>") == 0


def test_drift_is_a_table_of_columns_the_worst_first() -> None:
    then = {EVIL: [k / 1000 for k in range(1000)], "same": [1.0, 2.0] * 500}
    plan = ff.Plan({"twice": col(EVIL) * 2, "same": col("same") + 1})
    fitted = plan.fit(then, profile=True)
    shown = fitted.drift({**then, EVIL: [k / 2000 for k in range(1000)]})._repr_html_()
    assert "<script" not in shown
    told = plain(shown)
    order = [told.index(name) for name in ("twice", "document.title", "same")]
    assert order == sorted(order)
    assert "2 of 2 features" not in told
    assert shown.count('class="bad">') == 6  # the names of two, their PSI, how far they moved
    assert told.count("feature ") >= 2


@pytest.mark.parametrize("n", [50, 60])
def test_long_tables_end(n: int) -> None:
    contract = ff.Contract({f"rule {k}": col("k") != str(k) for k in range(n)})
    shown = contract.check(ROWS)._repr_html_()
    assert shown.count("<tr>") == 51
    assert ("... and 10 more rules" in shown) == (n == 60)


def test_shares_that_are_there_are_never_told_as_none() -> None:
    assert [share_text(s) for s in (0.0, 1e-9, 0.5, 0.99999, 1.0)] == [
        *("0", "<0.1%", "50.0%", "100.0%", "100%")
    ]
