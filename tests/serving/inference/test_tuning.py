"""What a tuning file must be to be used."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from serving.bundles.bundle import read_bundle
from serving.inference import tuning as module
from serving.inference.engine import Resources
from serving.inference.tuning import (
    Tuning,
    folder_of,
    key_of,
    name_of,
    read_tuning,
    write_tuning,
)
from tests.support.bundles import write_bundle
from tests.support.processes import ROOT
from tests.support.special_files import put

KEY = {"version": "0123456789abcdef", "threads": 2, "logit_tolerance": 0.1}
FIELDS = {
    "key": KEY,
    "engine": "openvino",
    "packed": True,
    "wide": False,
    "reason": "1.50 times as fast",
    "max_batch_tokens": 256,
    "tokens": [4, 64, 256],
    "linear_s": [0.001, 0.01, 0.03],
    "attention_s": 1e-7,
    "pace_s": 0.03,
    "logits": [[0.5, -0.5]],
}


@pytest.fixture
def log(monkeypatch):
    said = []
    monkeypatch.setattr(module, "log", lambda event, **fields: said.append((event, fields)))
    return said


def test_what_was_written_is_read(tmp_path, log):
    tuning = Tuning.model_validate(FIELDS)

    write_tuning(tmp_path / "new" / "folder", tuning)

    assert read_tuning(tmp_path / "new" / "folder", KEY) == tuning
    assert tuning.cost.seconds(1, 64) == pytest.approx(0.01 + 64 * 64 * 1e-7)
    assert not log


def test_another_key_has_another_file(tmp_path, log):
    write_tuning(tmp_path, Tuning.model_validate(FIELDS))

    assert read_tuning(tmp_path, KEY | {"threads": 4}) is None
    assert not log, "there is nothing to say about what is not there"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format_version", 2),
        ("key", KEY | {"threads": 4}),
        ("engine", "tensorrt"),
        ("packed", "perhaps"),
        ("reason", "x" * 5000),
        ("max_batch_tokens", 0),
        ("max_batch_tokens", 1 << 40),
        ("tokens", [4]),
        ("tokens", [4, 64]),
        ("tokens", [4, 256, 64]),
        ("tokens", [4, 64, 1 << 60]),
        ("linear_s", [0.0, 0.0, 0.0]),
        ("linear_s", [0.03, 0.02, 0.01]),
        ("linear_s", [-0.1, 0.02, 0.1]),
        ("linear_s", [0.1, 0.2, 1e300]),
        ("attention_s", float("nan")),
        ("attention_s", float("inf")),
        ("pace_s", 0),
        ("logits", []),
        ("logits", [[0.1], [0.1, 0.2]]),
        ("logits", [[float("nan")]]),
        ("note", "an unknown field"),
    ],
)
def test_a_file_that_says_anything_else_is_ignored_with_its_reason(tmp_path, log, field, value):
    path = tmp_path / name_of(KEY)
    path.write_text(json.dumps(FIELDS | {field: value}))

    assert read_tuning(tmp_path, KEY) is None
    ((event, fields),) = log
    assert event == "tuning ignored"
    assert str(path) in fields["path"]
    assert field in fields["reason"] or "conditions" in fields["reason"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"9" * 5_000_000])
def test_a_damaged_file_is_ignored_and_replaced(tmp_path, log, content):
    (tmp_path / name_of(KEY)).write_bytes(content)

    assert read_tuning(tmp_path, KEY) is None
    assert len(log) == 1
    write_tuning(tmp_path, Tuning.model_validate(FIELDS))
    assert read_tuning(tmp_path, KEY)


def test_a_file_that_others_may_write_is_ignored(tmp_path, log, monkeypatch):
    write_tuning(tmp_path, Tuning.model_validate(FIELDS))
    (tmp_path / name_of(KEY)).chmod(0o646)
    assert read_tuning(tmp_path, KEY) is None

    (tmp_path / name_of(KEY)).chmod(0o644)
    mine = os.fstat

    def of_another(descriptor):
        status = mine(descriptor)
        return SimpleNamespace(st_uid=4711, st_mode=status.st_mode, st_size=status.st_size)

    monkeypatch.setattr(os, "fstat", of_another)
    assert read_tuning(tmp_path, KEY) is None
    assert len(log) == 2
    assert all("another user" in fields["reason"] for _, fields in log)


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device", "link"])
def test_what_is_no_file_is_ignored(tmp_path, kind):
    put(kind, tmp_path / name_of(KEY))

    assert read_tuning(tmp_path, KEY) is None


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="file"):
        write_tuning(tmp_path / "file", Tuning.model_validate(FIELDS))


def test_the_key_has_what_the_measurements_depend_on(tmp_path, monkeypatch):
    def key(scale=1.0, requested="auto", max_batch_tokens=256, **resources):
        folder = tmp_path / str(scale)
        write_bundle(folder, scale=scale)
        given = Resources(**{"device": "cpu", "threads": 2} | resources)
        return key_of(read_bundle(folder), requested, given, max_batch_tokens)

    keys = [
        key(),
        key(scale=2.0),
        key(requested="openvino"),
        key(max_batch_tokens=512),
        key(threads=1),
        key(slots=1),
        key(device="cuda"),
        key(gpu_memory_bytes=1),
    ]
    for name in ("processor", "usable_cores", "_version"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, lambda *_: "other")
            keys.append(key())

    assert len({name_of(each) for each in keys}) == len(keys)
    assert key() == keys[0]


def test_without_a_setting_the_folder_is_beside_the_registry_or_in_the_cache(tmp_path, monkeypatch):
    registry = tmp_path / "build" / "registry"
    registry.mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")

    assert folder_of(None, registry) == tmp_path / "build" / ".tuning"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert folder_of(None, registry) == Path("/caches/sizewise/.tuning")
    (tmp_path / "build" / ".tuning").mkdir()
    assert folder_of(None, registry) == tmp_path / "build" / ".tuning"


def test_nothing_is_written_beside_the_family_that_ships(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert folder_of(None, ROOT / "models" / "registry") == tmp_path / "sizewise" / ".tuning"


def test_a_setting_names_the_folder_or_turns_it_off(tmp_path):
    assert folder_of(tmp_path, tmp_path / "registry") == tmp_path
    assert folder_of("", tmp_path / "registry") is None
