"""The pages are true: their code and commands run, their figures are those of the benchmark."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

import fastfeat as ff
from fastfeat.apps.cli.commands import app
from fastfeat.engine.gpu.compile.gcc import find_compiler
from fastfeat.errors import BackendUnavailable, Leakage
from fastfeat.operators import OPERATORS
from fastfeat.operators.operator import Operator
from fastfeat_tests.docs import folders, thresholds
from fastfeat_tests.docs.pages import (
    PAGES,
    README,
    ROOT,
    anchors,
    blocks,
    files,
    name_of,
    run_blocks,
    text_of,
)

WITH_FILES = {"docs/ten_minutes.md", "docs/apps.md"}
"""Pages with files of apps, which run in `test_ten_minutes.py` and `test_apps.py`."""
PYTHON = [page for page in PAGES if blocks(page, "python") and name_of(page) not in WITH_FILES]
PRINTED = {"README.md": "air_time", "docs/live.md": "card", "docs/training.md": "late_7d"}
"""What the code of a page prints, among other things: what a leak, or a late row, says."""


def untracked(folder: Path) -> list[str]:
    """Return the files that `git status` of a clone would show if they stood in its root."""
    ignored = ["--others", f"--exclude-from={ROOT / '.gitignore'}"]
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    found = subprocess.run(
        ["git", "-C", folder, "ls-files", *ignored], check=True, capture_output=True, text=True
    )
    return found.stdout.splitlines()


def has_compiler() -> bool:
    """Whether the emulated backend can run here."""
    try:
        find_compiler()
    except BackendUnavailable:
        return False
    return True


@pytest.mark.filterwarnings("ignore:.*too few values in the training data")
@pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsWithoutLabel")  # flights that never left
@pytest.mark.filterwarnings("ignore::fastfeat.errors.HistoryMissing")  # told on the page
@pytest.mark.parametrize("page", PYTHON, ids=name_of)
def test_every_python_block_runs(
    page: Path, demo_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = blocks(page, "python")
    if not has_compiler():
        found = [block for block in found if '"emulated"' not in block]
    run_blocks(page, found)
    assert PRINTED.get(name_of(page), "") in capsys.readouterr().out
    assert untracked(demo_folder) == []


def test_pages_with_files_have_tests_of_their_own() -> None:
    assert {name_of(page) for page in PAGES if files(blocks(page, "python"))} == WITH_FILES


@pytest.mark.large
@pytest.mark.filterwarnings("ignore")
def test_the_blocks_of_large_libraries_run(demo_folder: Path) -> None:
    for library in ("torch", "xgboost", "lightgbm", "catboost", "mlflow"):
        pytest.importorskip(library)
    page = ROOT / "docs" / "training.md"
    names = run_blocks(page, blocks(page, "py(?:thon)?"))
    assert names["batch"]["codes"].shape[1] == 1
    assert (demo_folder / "late_flights").is_dir()


@pytest.mark.filterwarnings("ignore:.*too few values in the training data")
def test_the_operator_of_the_recipe_agrees_with_its_reference() -> None:
    page = ROOT / "docs" / "contributing" / "operator.md"
    operator: Operator = run_blocks(page, blocks(page, "python"))["OPERATORS"]["center"]
    for train in ([0.1, 0.2, None, 7.0], [None, None]):
        rows = [1.1, None, -3.0]
        fitted = ff.Plan({"y": operator.define(ff.col("x"))}).fit({"x": pa.array(train, "double")})
        found = fitted.transform({"x": rows})["y"].to_pylist()
        assert found == operator.reference((train,), (rows,))


def test_the_table_of_folders_is_what_they_say() -> None:
    page = text_of("docs/contributing/layout.md")
    assert page == folders.refreshed(page), "run python tests/docs/folders.py"
    assert [folder for folder, sentence in folders.sentences() if not sentence.endswith(".")] == []


def test_the_table_of_thresholds_is_what_their_rows_say() -> None:
    page = text_of("docs/trust.md")
    assert page == thresholds.refreshed(page), "run python tests/docs/thresholds.py"
    assert sum(page.count(row) for row in thresholds.rows()) >= 10


def test_every_file_that_a_page_of_contributing_names_exists() -> None:
    named: set[tuple[str, str]] = set()
    for page in (ROOT / "docs" / "contributing").glob("*.md"):
        text = page.read_text("utf-8")
        named |= {
            (page.name, path)
            for path in re.findall(r"`((?:fastfeat|tests|kernels|docs)/[^` ]*)`", text)
        }
    paths = [(page, path) for page, path in named if not re.search("[A-Z]{4}", path)]
    assert len(paths) >= 20
    assert [(page, path) for page, path in paths if not (ROOT / path).exists()] == []


def test_every_fastfeat_command_of_the_readme_runs_and_leaves_the_tree_clean(
    demo_folder: Path,
) -> None:
    lines = [line for block in blocks(README, "sh") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("fastfeat ")]
    assert len(commands) >= 4
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}: {result.output}"
        assert untracked(demo_folder) == [], command


def test_a_file_that_git_does_not_ignore_is_found(demo_folder: Path) -> None:
    (demo_folder / "check.xml").write_text("")
    assert untracked(demo_folder) == ["check.xml"]


@pytest.mark.filterwarnings("ignore:.*too few values in the training data")
def test_the_schedule_of_the_plan_to_look_into_is_shown(demo_folder: Path) -> None:
    page = ROOT / "docs" / "how_it_works.md"
    names = run_blocks(page, blocks(page, "python")[:1])
    (shown,) = [
        block for block in blocks(page, "text") if block.startswith("fit over data in parts: ")
    ]
    told = names["fitted"].explain("schedule") + "\n"
    assert told.startswith("fit: ")
    assert told.endswith(f"\n\n{shown}")


def test_the_readme_has_the_plan_of_the_tutorial() -> None:
    tutorial = "".join(blocks(ROOT / "docs" / "ten_minutes.md", "python"))
    plan = re.compile(r"^plan = ff\.Plan\(.*?^\)$", re.DOTALL | re.MULTILINE)
    of_both = [plan.findall(text)[0] for text in (tutorial, "".join(blocks(README, "python")))]
    in_words = [re.sub(r"\s*#.*|,?\s", "", text) for text in of_both]
    assert in_words[0] == in_words[1]


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_exists(page: Path) -> None:
    rules = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE)
    assert set(named) <= set(rules)
    assert page != README or {"demo", "test"} <= set(named)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_linked_file_and_heading_exists(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8")):
        file, _, anchor = link.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), link
        assert not anchor or anchor in anchors(linked), link


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = {README}, [README]
    while waiting:
        page = waiting.pop()
        for link in re.findall(r"\]\((?!https?:)([^)#]+\.md)", page.read_text("utf-8")):
            linked = (page.parent / link).resolve()
            if linked not in reached and linked in PAGES:
                reached.add(linked)
                waiting.append(linked)
    assert reached == set(PAGES)


def test_every_operator_is_named() -> None:
    words = set(re.findall(r"[a-z_0-9]+", "".join(page.read_text("utf-8") for page in PAGES)))
    assert [name for name in OPERATORS if name.rpartition(".")[2] not in words] == []


def test_every_function_of_a_row_that_is_named_exists() -> None:
    section = text_of("docs/features.md").partition("## What a row computes")[2].partition("##")[0]
    rows = re.findall(r"^\| ([^|]+) \| `([^`]+)` \|$", section, re.MULTILINE)
    assert len(rows) >= 6
    for title, names in rows:
        of = ff.col("x").list if title == "`.list`" else ff.col("x")
        for name in names.split():
            assert hasattr(*((ff, name[3:]) if name.startswith("ff.") else (of, name))), name


def test_the_picture_of_a_window_shows_the_rows_that_belong() -> None:
    found = blocks(ROOT / "docs" / "history.md", "text")
    (picture,) = [block for block in found if "t' = t - offset" in block]
    line, marks = picture.splitlines()[:2]
    places = {name: line.index(f" {name} ") + 1 for name in "abcde"}
    begins, row = places["b"], marks.index("◉")
    assert [marks[place] for place in places.values()] == ["●"] * 5
    offset = row - places["e"]
    shown = [line for line in picture.splitlines() if "closed=" in line]
    assert len(shown) == 4
    for line in shown:
        closed: Any = line.split('"')[1]
        window = ff.window(row - offset - begins, time="t", offset=offset, closed=closed)
        rows = {"t": [*places.values(), row], "bit": [1, 2, 4, 8, 16, 0]}
        plan = ff.Plan({"seen": ff.col("bit").sum(over=window)})
        seen = plan.fit_transform(rows)[1]["seen"].to_pylist()[-1]
        drawn = [name for name, place in places.items() if line[place : place + 1] == name]
        assert seen == sum(1 << "abcde".index(name) for name in drawn), closed


def test_the_table_of_leaks_says_what_builds() -> None:
    section = (
        text_of("docs/history.md")
        .partition("## Leakage")[2]
        .partition("\n\n| with")[2]
        .partition("\n\n")[0]
    )
    rows = [line.split(" | ") for line in section.splitlines()[2:]]
    assert len(rows) == 10
    week = ff.window("7d", by="card", time="t")
    names = {"ff": ff, "col": ff.col, "week": week, "plane": ff.window(by="card", time="t")}
    names |= {name: ff.col(name) for name in ("x", "y", "carrier")}
    for codes, told in rows:
        options: dict[str, Any] = dict(re.findall(r'`(label_delay)="(\w+)"`', codes))
        for feature in re.findall(r"`(\w+\.[^`]+)`", codes):
            if told.endswith("builds |"):
                ff.Plan({"f": eval(feature, names)}, label="y", **options)
            else:
                assert "refused" in told
                with pytest.raises(Leakage):
                    ff.Plan({"f": eval(feature, names)}, label="y", **options)


def test_benchmark_section_is_that_of_the_committed_results() -> None:
    from bench import results, speed_page

    text = text_of("docs/speed.md")
    assert speed_page.refreshed(text, results.load(results.FOLDER)) == text


def test_each_commit_that_figures_are_of_is_told_with_its_age() -> None:
    from bench import age, results

    found = results.load(results.FOLDER)["workloads"]
    told = list(age.told())
    assert sum(int(line.split()[0]) for line in told) == len(found)
    assert all("ago" in line or "not known" in line for line in told)


def test_what_a_peer_does_faster_comes_first() -> None:
    from bench import speed_page

    def entry(name: str, theirs: float) -> dict[str, Any]:
        return {
            "name": name, "group": "", "title": name, "rows": 10, "threads": 2,
            "machine": {"cpu": "a CPU", "versions": {"polars": "1"}},
            "contenders": {
                "fastfeat": {
                    "library": "fastfeat", "by_hand": False, "median_seconds": 0.002,
                    "cpu_seconds": 0.003,
                },
                "polars": {"library": "polars", "by_hand": False, "median_seconds": theirs},
            },
        }  # fmt: skip

    text = f"{speed_page.BEGIN} how -->\n{speed_page.END}\n"
    both = {"workloads": {name: entry(name, s) for name, s in (("won", 0.004), ("lost", 0.001))}}
    lines = speed_page.refreshed(text, both).splitlines()
    lost = "| lost | 10 | 2.00 ms, CPU 3.00 ms | 1.00 ms (polars) | **0.500×** | not known yet |"
    assert lines.index(lost) < lines.index(speed_page.PICTURE)
    assert sum(line.startswith("| won |") for line in lines) == 1
    won = {"workloads": {"won": entry("won", 0.004)}}
    assert "Nothing here is slower than its best peer." in speed_page.refreshed(text, won)


def test_benchmark_section_is_written_between_its_marks() -> None:
    from bench import speed_page

    entry = {
        "name": "w", "group": "w", "title": "twelve features", "rows": 1000, "threads": 2,
        "machine": {"cpu": "a CPU", "versions": {"polars": "1"}},
        "contenders": {
            "fastfeat": {"library": "fastfeat", "by_hand": False, "median_seconds": 0.001},
            "polars lazy": {"library": "polars", "by_hand": False, "median_seconds": 0.004},
            "pandas": {"library": "pandas", "by_hand": False, "median_seconds": 0.01},
        },
    }  # fmt: skip
    found = {"format": 1, "workloads": {"w": entry}}
    text = f"before\n{speed_page.BEGIN} how -->\nold\n{speed_page.END}\nafter\n"
    new = speed_page.refreshed(text, found)
    row = "| twelve features | 1,000 | 1.00 ms | 4.00 ms (polars lazy) | **4.00×** | 10.0× |"
    assert row in new.splitlines()
    assert "old" not in new
    assert new.startswith(f"before\n{speed_page.BEGIN} how -->\n")
    assert new.endswith(f"{speed_page.END}\nafter\n")
    assert speed_page.refreshed(new, found) == new
