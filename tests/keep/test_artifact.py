"""Artifacts: what was saved comes back with the same bits; anything else is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of
from fastfeat.errors import ArtifactError, TypeMismatch
from fastfeat.io.sinks import atomic
from fastfeat.keep import artifact
from fastfeat.keep.artifact import artifact_bytes
from fastfeat_tests.plan.plan_tables import differing, table_of

TRAIN = table_of(200, 0, finite=True)
ROWS = table_of(50, 1)


@pytest.fixture(scope="module")
def fitted() -> ff.FittedPlan:
    return ff.Plan(
        {
            "scaled": col("y").standard_scale(),
            "bin": col("y").qcut(4),
            "first": col("t") - col("t").min(),
            "any": col("flag").max(),
            "imputed": col("i").impute("median"),
            "largest": col("u").cast("uint64").max(),
        },
        label="x",
        keep=["s"],
    ).fit(TRAIN)


@pytest.fixture(scope="module")
def small() -> bytes:
    """Return the artifact of a plan of one feature."""
    plan = ff.Plan({"a": col("x") - col("x").mean()})
    return artifact_bytes(plan.fit({"x": [1.0, 2.0]}, profile=True).record)


def test_a_saved_plan_comes_back_with_the_same_bits(fitted, tmp_path):
    path = tmp_path / "plan.fastfeat"
    fitted.save(path)
    again = ff.load(str(path))
    assert artifact_bytes(again.record) == path.read_bytes()
    bare = dataclasses.replace(again.record, golden=None)
    assert artifact_bytes(bare) == artifact_bytes(fitted.record)
    assert again.learnt() == fitted.learnt()
    assert again.schema == fitted.schema
    assert (again.n_rows, again.inputs) == (fitted.n_rows, fitted.inputs)
    assert differing(again.transform(ROWS), fitted.transform(ROWS)) == {}
    assert [file.name for file in tmp_path.iterdir()] == ["plan.fastfeat"]


def test_saving_replaces_a_file_and_obeys_the_umask(fitted, tmp_path):
    path = tmp_path / "plan.fastfeat"
    path.write_text("older")
    before = os.umask(0o027)
    try:
        fitted.save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert ff.load(path).feature_names == fitted.feature_names


@pytest.mark.filterwarnings("ignore:.*too few values in the training data")
@pytest.mark.parametrize(
    "values",
    [
        [2**64 - 1, 2**63],
        pa.array([2**64 - 1, None], pa.uint64()),
        pa.array([-(2**63), 2**63 - 1]),
        pa.array([True, None]),
        pa.array([None, None], pa.float64()),
        pa.array([5e-324, -0.0, 1.7976931348623157e308]),
        pa.array([-1, 0], pa.timestamp("ns")),
    ],
)
def test_every_kind_of_learnt_value_comes_back(values):
    data = {"x": np.array(values, np.uint64) if isinstance(values, list) else values}
    fitted = ff.Plan({"low": col("x").min(), "high": col("x").max(), "n": col("x").count()}).fit(
        data
    )
    again = fitted_of(artifact_bytes(fitted.record))
    assert repr(again.learnt()) == repr(fitted.learnt())
    assert differing(again.transform(data), fitted.transform(data)) == {}


def test_an_artifact_is_json_and_arrow_and_nothing_else(small):
    start = len(artifact.MAGIC) + 8
    length = int.from_bytes(small[len(artifact.MAGIC) : start], "little")
    manifest = json.loads(small[start : start + length])
    place, parts = start + length, {}
    for name, n_bytes, digest in manifest["parts"]:
        parts[name] = small[place : place + n_bytes]
        assert hashlib.sha256(parts[name]).hexdigest() == digest
        place += n_bytes
    assert small[:place] + hashlib.sha256(small[:place]).digest() == small
    assert sorted(parts) == ["plan", "profile", "state", "zones"]
    for name in ("plan", "zones"):
        assert isinstance(json.loads(parts[name]), dict)
    table = pa.ipc.open_file(pa.py_buffer(parts["state"])).read_all()
    table.validate(full=True)
    assert {str(kind) for kind in table.schema.types} == PLAIN_TYPES


PLAIN_TYPES = {"string", "int64", "double", "list<item: double>", "large_string"}


def with_parts(content: bytes, *extra: tuple[str, bytes]) -> bytes:
    """Return an artifact with further parts at its end, and right digests."""
    start = len(artifact.MAGIC) + 8
    end = start + int.from_bytes(content[start - 8 : start], "little")
    listed = json.loads(content[start:end])["parts"]
    told = [[name, len(part), hashlib.sha256(part).hexdigest()] for name, part in extra]
    behind = b"".join(part for _, part in extra)
    return with_manifest(content, behind, parts=[*listed, *told])


def test_an_optional_part_comes_back_and_is_not_of_the_plan(small):
    bare = dataclasses.replace(fitted_of(small).record, profile=None)
    full = dataclasses.replace(bare, profile=b"p" * 5, golden=b"")
    again = fitted_of(artifact_bytes(full))
    assert (again.record.profile, again.record.golden) == (b"ppppp", b"")
    assert artifact_bytes(again.record) == artifact_bytes(full) != small
    assert artifact.fitted_digest(full) == artifact.fitted_digest(bare)
    assert fitted_of(artifact_bytes(bare)).record.profile is None


def test_an_artifact_of_format_1_has_a_contract_and_no_newer_part():
    contract = ff.Contract({"positive": col("x") > 0})
    plan = ff.Plan({"a": col("x") + 1})
    fitted = plan.fit({"x": [1.0]}, contract=contract, profile=False)
    content = artifact_bytes(fitted.record)
    older = with_manifest(content, format=1)
    assert fitted_of(older).contract == contract
    assert artifact_bytes(fitted_of(older).record) == content
    with pytest.raises(ArtifactError, match="part 'profile' is unknown to this version"):
        fitted_of(with_manifest(with_parts(content, ("profile", b"p")), format=1))


@pytest.mark.parametrize("name", ["contract", "plan", "profile", "zones"])
def test_an_artifact_with_a_part_twice_is_refused(small, name):
    content = with_parts(small, (name, b"{}"), (name, b"{}"))
    with pytest.raises(ArtifactError, match=f"it has the part '{name}' twice"):
        fitted_of(content)


def test_an_artifact_with_an_unknown_part_is_refused(small):
    with pytest.raises(ArtifactError, match="part 'code' is unknown to this version"):
        fitted_of(with_parts(small, ("code", b"")))


def test_an_artifact_lacking_a_part_is_refused(small):
    with pytest.raises(ArtifactError, match="its part 'plan' is missing"):
        fitted_of(with_manifest(small, parts=[]))


def test_every_truncated_artifact_is_refused(small):
    for length in range(len(small)):
        with pytest.raises(ArtifactError):
            fitted_of(small[:length])


def test_an_artifact_with_any_byte_altered_is_refused(small):
    rng = np.random.default_rng(0)
    for place in range(len(small)):
        other = bytearray(small)
        other[place] ^= int(rng.integers(1, 256))
        with pytest.raises(ArtifactError):
            fitted_of(bytes(other))


def test_an_artifact_with_bytes_behind_it_is_refused(small):
    for more in (b"\0", small, b"x" * 100):
        with pytest.raises(ArtifactError):
            fitted_of(small + more)


def signed(small: bytes, change: dict[bytes, bytes]) -> bytes:
    """Return the artifact with parts of its text replaced, of equal length, and a right digest."""
    content = small[:-32]
    for old, new in change.items():
        assert content.count(old) == 1
        assert len(old) == len(new)
        content = content.replace(old, new)
    return content + hashlib.sha256(content).digest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {b'"format":2,"inputs"': b'"format":3,"inputs"'},
            "format 3, written by .* Update fastfeat",
        ),
        ({b'"format":2,"inputs"': b'"format":0,"inputs"'}, "format 0"),
        ({b'"n_rows":2': b'"n_rowz":2'}, "the entry 'n_rows' of its manifest is missing"),
        ({b'["x",["float64",null,null]]': b'["y",["float64",null,null]]'}, "the plan reads"),
        ({b'["x",["float64",null,null]]': b'["x",["float99",null,null]]'}, "not a type"),
        ({b'["float64",null,null]': b'["utf8"   ,null,null]'}, "do not fit together"),
        ({b'"format":1,"keep"': b'"format":1,"sold"'}, "digest"),
    ],
)
def test_an_altered_artifact_with_a_right_digest_is_refused(small, change, message):
    with pytest.raises(ArtifactError, match=message):
        fitted_of(signed(small, change))


def with_manifest(content: bytes, behind: bytes = b"", **changes: Any) -> bytes:
    """Return an artifact with entries of its manifest replaced, and a right digest.

    Args:
        content: the artifact.
        behind: bytes to put at its end.
        changes: the entries.
    """
    start = len(artifact.MAGIC) + 8
    end = start + int.from_bytes(content[start - 8 : start], "little")
    head = json.dumps(json.loads(content[start:end]) | changes).encode()
    body = artifact.MAGIC + len(head).to_bytes(8, "little") + head + content[end:-32] + behind
    return body + hashlib.sha256(body).digest()


X = ["x", ["float64", None, None]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"more": 1}, "the entry 'more' of its manifest"),
        ({"n_rows": -1}, "training rows is -1"),
        ({"n_rows": True}, "training rows is True"),
        ({"n_rows": "5"}, "training rows is '5'"),
        ({"n_rows": 1.5}, "training rows is 1.5"),
        ({"inputs": [X, ["z", ["null", None, None]]]}, r"the plan reads \['x'\]"),
        ({"inputs": [X, X]}, "the plan reads"),
        ({"inputs": []}, "do not fit together"),
        ({"label_inputs": [X]}, r"the plan reads \[\]"),
        ({"parts": [["plan", float("inf"), "y"]]}, "cannot be read"),
    ],
)
def test_an_odd_manifest_with_a_right_digest_is_refused(small, changes, message):
    assert fitted_of(with_manifest(small)).n_rows == 2
    with pytest.raises(ArtifactError, match=message):
        fitted_of(with_manifest(small, **changes))


def test_an_artifact_whose_feature_is_text_is_refused():
    content = artifact_bytes(ff.Plan({"f": col("x")}).fit({"x": [1.0]}).record)
    text = with_manifest(content, inputs=[["x", ["utf8", None, None]]])
    with pytest.raises(ArtifactError, match="do not fit together: feature 'f' is text"):
        fitted_of(text)


def test_an_artifact_without_the_table_of_a_zone_is_refused():
    hours = ff.Plan({"a": col("t").dt.hour(tz="Asia/Tokyo")})
    fitted = hours.fit({"t": pa.array([0], pa.timestamp("s", "UTC"))})
    lacking = dataclasses.replace(fitted.record, zones={})
    with pytest.raises(ArtifactError, match="lacks the table of the time zone 'Asia/Tokyo'"):
        fitted_of(artifact_bytes(lacking))


def test_a_newer_artifact_asks_for_an_update(small, tmp_path):
    path = tmp_path / "newer.fastfeat"
    path.write_bytes(signed(small, {b'"format":2,"inputs"': b'"format":9,"inputs"'}))
    with pytest.raises(ArtifactError, match=r"newer.*: the artifact has format 9.*Update fastfeat"):
        ff.load(path)


def test_an_oversized_file_is_refused(small, tmp_path, monkeypatch):
    path = tmp_path / "large.fastfeat"
    path.write_bytes(small)
    monkeypatch.setattr(artifact, "LARGEST_ARTIFACT", 100)
    with pytest.raises(ArtifactError, match="more than 100 bytes"):
        ff.load(path)


def test_an_oversized_manifest_is_refused_before_it_is_parsed(small):
    start = len(artifact.MAGIC)
    for length in (2**63, 2**64 - 1, len(small)):
        with pytest.raises(ArtifactError, match="manifest is incomplete"):
            fitted_of(small[:start] + length.to_bytes(8, "little") + small[start + 8 :])


def test_a_huge_file_that_is_no_artifact_is_not_read(tmp_path):
    path = tmp_path / "huge"
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # sparse: it takes no space
    with pytest.raises(ArtifactError, match="not a fastfeat artifact"):
        ff.load(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PAR1", b"fastfeat artifact", b"{}"])
def test_another_file_is_refused(content, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="not a fastfeat artifact"):
        ff.load(path)


def test_paths_that_cannot_be_read_or_written_are_named(fitted, tmp_path):
    for path in (tmp_path / "none" / "x", tmp_path, Path("a\0b")):
        with pytest.raises(ArtifactError, match="cannot read"):
            ff.load(path)
        with pytest.raises(ArtifactError, match="cannot write"):
            fitted.save(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"cannot write .*Not a directory"):
        fitted.save(tmp_path / "file" / "plan.fastfeat")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("path", [5, None, b"plan"])
def test_what_is_no_path_is_refused(fitted, path):
    with pytest.raises(TypeMismatch, match="load takes the path of a file"):
        ff.load(path)
    with pytest.raises(TypeMismatch, match="save takes the path of a file"):
        fitted.save(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a full disk")
def test_a_full_disk_leaves_the_older_artifact(fitted, tmp_path, monkeypatch):
    path = tmp_path / "plan.fastfeat"
    path.write_text("older")
    real_open = open
    monkeypatch.setattr(
        atomic,
        "open",
        lambda file, mode, **options: real_open("/dev/full", mode.replace("x", "w")),
        raising=False,
    )
    with pytest.raises(ArtifactError, match="No space left on device"):
        fitted.save(path)
    assert path.read_text() == "older"


def test_a_wide_plan_can_be_loaded_again():
    names = [f"a column with quite a long name, number {k}" for k in range(20_000)]
    plan = ff.Plan({name: col(name) for name in names})
    table = pa.table([pa.array([1.0])] * len(names), names=names)
    content = artifact_bytes(plan.fit(table).record)
    assert len(content) > 1 << 20
    assert list(fitted_of(content).feature_names) == names
