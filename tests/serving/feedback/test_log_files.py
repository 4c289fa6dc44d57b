import io
import stat
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet
from pyarrow import parquet

from serving.errors import StartError
from serving.feedback.log_files import LogFiles, digest

MARKER = "a text that must not be read"
NOW = datetime(2026, 11, 28, 3, tzinfo=UTC)


def row(request_id="one", caller="search", text=MARKER):
    return {
        "time": NOW, "caller": caller, "request_id": request_id, "index": 0, "model": "tone",
        "variant": "tiny", "version": "1", "predicted": ["good"], "text": text, "text_pair": None,
        "labels": ["bad", "good"], "scores": [0.25, 0.75],
    }  # fmt: skip


def keys(folder, *given):
    path = folder / "keys"
    path.write_bytes(b"\n".join(given) + b"\n")
    return path


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("where", ["folder", "url"])
def test_what_is_written_is_read_again(tmp_path, where, encrypted):
    url = str(tmp_path / "log") if where == "folder" else f"memory://{tmp_path}"
    files = LogFiles(url, keys(tmp_path, Fernet.generate_key()) if encrypted else None)
    files.write("texts", [row(), row("two")], NOW.timestamp())
    (found,) = files.listed("texts")

    assert files.read(found.name) == [row(), row("two")]
    assert found.since_s == NOW.timestamp()
    assert found.bytes > 0
    assert files.listed("feedback") == []


def test_with_keys_no_file_shows_a_text_and_only_its_user_may_read_it(tmp_path):
    key = Fernet.generate_key()
    files = LogFiles(str(tmp_path / "log"), keys(tmp_path, key))
    files.write("texts", [row()], NOW.timestamp())
    (path,) = (tmp_path / "log" / "texts").iterdir()
    plain = parquet.read_table(io.BytesIO(Fernet(key).decrypt(path.read_bytes())))

    for known in (MARKER, "search", "PAR1", "variant"):
        assert known.encode() not in path.read_bytes()
    assert plain["text"].to_pylist() == [MARKER]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_nothing_of_a_text(tmp_path, monkeypatch):
    def full(_path):
        raise OSError(28, "no space left")

    monkeypatch.setattr("serving.bundles.files.sync", full)
    with pytest.raises(OSError, match="no space left"):
        LogFiles(str(tmp_path / "log")).write("texts", [row()], NOW.timestamp())

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_keys_are_rotated_by_a_new_first_line(tmp_path):
    old, new = Fernet.generate_key(), Fernet.generate_key()
    url = str(tmp_path / "log")
    LogFiles(url, keys(tmp_path, old)).write("texts", [row()], 1.0)
    both = LogFiles(url, keys(tmp_path, new, old))
    both.write("texts", [row("two")], 2.0)

    assert [both.read(file.name)[0]["request_id"] for file in both.listed("texts")] == [
        "one", "two",
    ]  # fmt: skip
    only_new = LogFiles(url, keys(tmp_path, new))
    first, second = only_new.listed("texts")
    assert only_new.read(second.name)
    with pytest.raises(StartError, match="no key decrypts it"):
        only_new.read(first.name)
    with pytest.raises(StartError, match="is encrypted"):
        LogFiles(url).read(first.name)


@pytest.mark.parametrize("content", [b"", b"short", None])
def test_a_file_without_keys_ends_the_start_with_how_to_make_one(tmp_path, content):
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(StartError, match=r"SIZEWISE_TEXT_LOG_KEYS: .*generate_key"):
        LogFiles(str(tmp_path), path)


def test_an_unknown_kind_of_url_ends_the_start():
    with pytest.raises(StartError, match=r"SIZEWISE_TEXT_LOG: odd://"):
        LogFiles("odd://bucket/log")


def test_deletions_are_noted_without_the_id_and_can_be_forgotten(tmp_path):
    files = LogFiles(str(tmp_path / "log"))
    files.mark_deleted("search", "order-4711", 12.5)

    assert files.deletions() == {digest("search", "order-4711"): 12.5}
    assert "4711" not in str([*tmp_path.rglob("*")])
    files.forget_deletion(digest("search", "order-4711"), 12.5)
    assert files.deletions() == {}
