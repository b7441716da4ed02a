"""Addresses of a network that is not there, does not answer, or lets nobody in: real sockets."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as fs
import pyarrow.parquet as pq
import pytest

from fastfeat.errors import InvalidData
from fastfeat.io.sources import addresses
from fastfeat.io.sources.dataset import dataset_of
from fastfeat.io.sources.read import read_table

ROWS: Any = pa.table({"k": [1, 2, 3], "s": ["a", None, "c"]})


class Bucket(BaseHTTPRequestHandler):
    """A bucket, as S3 serves it: files by name, to who has the key of the address.

    Args:
        files: the bytes of each.
    """

    files: dict[str, bytes]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        asked = urlsplit(self.path)
        name = unquote(asked.path).removeprefix("/bucket").strip("/")
        if "Credential=key/" not in self.headers.get("Authorization", ""):
            self._send(403, b"")
        elif not name:
            self._send(200, self._listed(parse_qs(asked.query).get("prefix", [""])[0]))
        elif name not in self.files:
            self._send(404, b"")
        else:
            self._send(200, self.files[name])

    def _listed(self, prefix: str) -> bytes:
        each = "".join(
            f"<Contents><Key>{n}</Key><Size>{len(b)}</Size>"
            "<LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>"
            for n, b in self.files.items()
            if n.startswith(prefix)
        )
        count = each.count("<Key>")
        told = f"<Name>bucket</Name><IsTruncated>false</IsTruncated><KeyCount>{count}</KeyCount>"
        return f'<?xml version="1.0"?><ListBucketResult>{told}{each}</ListBucketResult>'.encode()

    def _send(self, status: int, content: bytes) -> None:
        of = self.headers.get("Range")
        if status == 200 and of is not None:
            first, last = (int(text) for text in of.removeprefix("bytes=").split("-"))
            status, content = 206, content[first : last + 1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    """Return the options of an address of a bucket that is served here."""
    files: dict[str, bytes] = {}
    for number, table in enumerate((ROWS.slice(0, 2), ROWS.slice(2))):
        pq.write_table(table, tmp_path / "part.parquet")
        files[f"logs/{number}.parquet"] = (tmp_path / "part.parquet").read_bytes()
    serving = type("Serving", (Bucket,), {"files": files})
    with ThreadingHTTPServer(("127.0.0.1", 0), serving) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        at = f"127.0.0.1:{server.server_address[1]}"
        yield f"?scheme=http&region=eu-west-1&endpoint_override={at}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["logs", "logs/*.parquet", "logs/[01].parquet"])
def test_a_bucket_is_read_and_its_key_is_not_told(bucket: str, path: str) -> None:
    address = f"s3://key:secret@bucket/{path}{bucket}"
    dataset = dataset_of(address)
    assert [part.name for part in dataset.parts] == [
        f"s3://bucket/logs/{k}.parquet" for k in (0, 1)
    ]
    assert read_table(address).equals(ROWS)
    assert dataset.identity is not None
    assert "secret" not in str(dataset.identity)


def test_a_bucket_that_lets_nobody_in_is_told(bucket: str) -> None:
    with pytest.raises(InvalidData, match="ACCESS_DENIED") as raised:
        dataset_of(f"s3://other:secret@bucket/logs{bucket}")
    told = str(raised.value)
    assert told.startswith("s3://bucket/logs: cannot be inspected: When getting information")
    assert told.endswith(
        "the network, and the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws"
    )
    assert "secret" not in told
    with pytest.raises(InvalidData, match=r"^no such file: s3://bucket/none$"):
        dataset_of(f"s3://key:secret@bucket/none{bucket}")


def test_a_network_that_is_not_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    options = f"scheme=http&retry_limit_seconds=1&endpoint_override=127.0.0.1:{port}"
    with pytest.raises(InvalidData) as raised:
        dataset_of(f"gs://anonymous@bucket/logs?{options}")
    told = str(raised.value)
    assert "Could not connect to server" in told
    assert "error_info" not in told
    assert told.endswith("GOOGLE_APPLICATION_CREDENTIALS; gs://anonymous@bucket/... needs none")


def test_a_network_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_MOST_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(
            InvalidData, match=r"^gs://anonymous@bucket/logs: no answer within 0\.2"
        ):
            dataset_of(
                f"gs://anonymous@bucket/logs?scheme=http&retry_limit_seconds=1&endpoint_override={at}"
            )


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("s3://key:secret@bucket/x?sort=up", "cannot be reached: Unexpected query parameter in S3"),
        ("s4://key:secret@bucket/x", "no installed library reads s4://. pyarrow: Unrecognized "),
    ],
)
def test_addresses_that_are_none_are_told_without_their_secrets(address: str, told: str) -> None:
    with pytest.raises(InvalidData) as raised:
        dataset_of(address)
    assert told in str(raised.value)
    assert "secret" not in str(raised.value)


def test_any_error_of_a_library_for_a_network_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(fs.FileSystemHandler):
        """A file system whose library has errors of its own."""

        def get_type_name(self) -> str:
            return "failing"

        def get_file_info(self, paths: list[str]) -> Any:
            if paths == ["denied"]:
                raise RuntimeError("no token")
            return [fs.FileInfo(path, fs.FileType.File, size=9) for path in paths]

        def open_input_file(self, path: str) -> Any:
            raise RuntimeError("the line was cut")

        open_input_stream = open_input_file

        def _none(self, *_: Any) -> Any:
            raise NotImplementedError

        copy_file = create_dir = delete_dir = delete_dir_contents = delete_file = _none
        delete_root_dir_contents = get_file_info_selector = move = normalize_path = _none
        open_append_stream = open_output_stream = _none

    module: Any = ModuleType("fsspec.core")
    module.url_to_fs = lambda address: (None, address.removeprefix("failing://"))
    monkeypatch.setitem(sys.modules, "fsspec", ModuleType("fsspec"))
    monkeypatch.setitem(sys.modules, "fsspec.core", module)
    monkeypatch.setattr(fs, "FSSpecHandler", lambda _: Failing())
    told = r"^failing://denied: cannot be inspected: no token\. Check the address and the network$"
    with pytest.raises(InvalidData, match=told):
        dataset_of("failing://denied")
    for name in ("rows", "rows.parquet", "rows.csv"):
        told = rf"^failing://{name}: cannot be read: the line was cut$"
        with pytest.raises(InvalidData, match=told):
            dataset_of(f"failing://{name}")
