"""Where a mark may remain: files, the log, metrics, traces and what a server tells of itself."""

import contextlib
import gzip
import zipfile
import zlib
from pathlib import Path

import httpx
import pyarrow.parquet as pq
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.benchmarks.privacy.marks import MARK
from tests.support.collector import spans_of

_MARK = MARK.encode()
TOLD = ("/metrics", "/v1/models", "/v2", "/health", "/info", "/openapi.json", "/playground/")
ENCRYPTED = ".fernet"
"""Ends the names of files whose letters are random, so that some of them spell a short mark."""


def count_in(content):
    """How often a mark is in bytes, in any case, also inside what is compressed."""
    found = content.lower().count(_MARK)
    if content.startswith(b"\x1f\x8b"):
        with contextlib.suppress(OSError, EOFError, zlib.error):
            found += count_in(gzip.decompress(content))
    return found


def content_of(path):
    """The bytes of a file, and of what is packed into it."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        content += str(pq.read_table(path).to_pylist()).encode()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            content += b"".join(map(archive.read, archive.namelist()))
    return content


def trace_of(body):
    """What a collector was sent, as text without the spans' ids.

    They are random, so that some of them spell a short mark: those of 1,300 spans, one time in 40.
    """
    sent = ExportTraceServiceRequest.FromString(body)
    for span, _ in spans_of(sent):
        for name in ("trace_id", "span_id", "parent_span_id"):
            span.ClearField(name)
    return str(sent).encode()


def files_with_marks(folder, but=()):
    """Paths under `folder` with a mark in their names or contents, and how many were searched."""
    found, searched = [], 0
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        if path.suffix == ENCRYPTED or any(path.is_relative_to(each) for each in but):
            continue
        searched += 1
        try:
            content = content_of(path)
        except FileNotFoundError:  # removed meanwhile
            continue
        if count_in(content) or MARK in str(path.relative_to(folder)).lower():
            found.append(str(path.relative_to(folder)))
    return found, searched


def told(url, headers):
    """What a server's own pages say."""
    pages = [httpx.get(url + path, headers=dict(headers), timeout=30) for path in TOLD]
    return b"".join(page.content for page in pages)


def write_mark(folder):
    """A file with the mark, which a search must find: one that finds nothing proves nothing."""
    path = Path(folder) / "planted.gz"
    path.write_bytes(gzip.compress(f"a {MARK.upper()} text".encode()))
    return path
