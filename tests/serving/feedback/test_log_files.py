import io
import stat
from datetime import UTC, datetime

import pyarrow as pa
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


def rewritten(path, change):
    """Replace a plain file of the log by a changed table of the same rows."""
    parquet.write_table(change(parquet.read_table(path)), path)


def column(name, values, kind):
    def change(table):
        at = table.schema.get_field_index(name)
        return table.set_column(at, name, pa.array([values] * len(table), kind))

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.drop_columns(["model"]), "no column 'model'"),
        (lambda _: pa.table({"a": [1]}), "no column 'time'"),
        (column("time", "today", pa.string()), "'time' is no timestamp"),
        (column("text", b"\xff", pa.binary()), "'text' is no string"),
        (column("scores", MARKER, pa.string()), "'scores' is no list"),
        (column("caller", None, pa.string()), "'caller' has empty cells"),
        (column("predicted", None, pa.list_(pa.string())), "'predicted' has empty cells"),
    ],
)
def test_a_table_that_is_no_log_is_named_with_what_is_wrong(tmp_path, change, says):
    files = LogFiles(str(tmp_path / "log"))
    files.write("texts", [row()], NOW.timestamp())
    (found,) = files.listed("texts")
    rewritten(tmp_path / "log" / found.name, change)

    with pytest.raises(StartError, match=rf"{found.name} is damaged, .*move it.*{says}") as caught:
        files.read(found.name)
    assert MARKER not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00" * 500])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, content):
    files = LogFiles(str(tmp_path / "log"))
    files.write("texts", [row()], NOW.timestamp())
    (found,) = files.listed("texts")
    (tmp_path / "log" / found.name).write_bytes(content)

    with pytest.raises(StartError, match=rf"{found.name} is damaged, .*: restore it, or move it"):
        files.read(found.name)


def test_rows_from_before_a_column_was_added_are_read(tmp_path):
    files = LogFiles(str(tmp_path / "log"))
    rows = [
        {name: cell for name, cell in row().items() if name not in ("text", "labels", "scores")}
        | {"right": ["bad"]}
    ]
    files.write("feedback", rows, NOW.timestamp())
    (found,) = files.listed("feedback")
    rewritten(
        tmp_path / "log" / found.name, lambda table: table.drop_columns(["answered", "alone"])
    )

    assert files.read(found.name)[0]["right"] == ["bad"]
    assert "answered" not in files.read(found.name)[0]


def test_files_of_other_names_are_none_of_the_log(tmp_path):
    files = LogFiles(str(tmp_path / "log"))
    files.write("texts", [row()], NOW.timestamp())
    for name in ("²-a.parquet", f"{'9' * 240}-a.parquet", "README.md", "1-a.parquet"):
        (tmp_path / "log" / "texts" / name).write_bytes(b"x")

    assert [file.since_s for file in files.listed("texts")] == [NOW.timestamp()]
