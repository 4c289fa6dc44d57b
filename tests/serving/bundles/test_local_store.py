"""`fetch` from a folder of this machine that others may write to."""

import os
from pathlib import Path

import pytest

from serving.bundles.bundle import MANIFEST_NAME
from serving.bundles.fetch import fetch
from serving.bundles.registry import intact
from serving.bundles.signatures import SIGNATURE_NAME
from serving.errors import StartError
from tests.support.bundles import write_bundle
from tests.support.patience import ends
from tests.support.special_files import put


@pytest.fixture
def remote(tmp_path):
    write_bundle(tmp_path / "remote" / "tone" / "tiny")
    write_bundle(tmp_path / "remote" / "tone" / "wide", variant="wide", max_length=16)
    return tmp_path / "remote" / "tone"


def bring(remote, target):
    ends(lambda: fetch(remote.as_uri(), target))


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device", "nowhere"])
@pytest.mark.parametrize("name", [MANIFEST_NAME, SIGNATURE_NAME, "model.onnx", "config.json"])
def test_a_bundle_with_something_else_than_files_fails_alone(remote, target, kind, name):
    (remote / "tiny" / name).unlink(missing_ok=True)
    put(kind, remote / "tiny" / name)

    with pytest.raises(StartError, match=r"not a file|a link|No such device"):
        bring(remote, target)

    assert not (target / "tiny").exists()
    assert intact(target / "wide")


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device", "nowhere"])
def test_what_is_none_of_the_familys_files_is_one_sentence(remote, target, kind):
    put(kind, remote / "traffic.json")
    (remote / "policy.json").write_text("{}")

    with pytest.raises(StartError, match=r"traffic\.json cannot be read"):
        bring(remote, target)

    assert not os.path.lexists(target / "traffic.json")
    assert (target / "policy.json").read_text() == "{}"
    assert intact(target / "tiny")


@pytest.mark.parametrize("name", ["traffic.json", "tiny/config.json"])
def test_a_link_is_not_followed_even_if_it_leads_to_the_very_file(remote, target, tmp_path, name):
    content = (remote / name).read_bytes() if (remote / name).exists() else b"{}"
    (tmp_path / "secret").write_bytes(content)
    (remote / name).unlink(missing_ok=True)
    (remote / name).symlink_to(tmp_path / "secret")

    with pytest.raises(StartError, match="it is a link"):
        bring(remote, target)

    assert not (target / name).exists()


def test_a_folder_that_is_a_link_is_left_out_and_logged(remote, target, tmp_path, capsys):
    write_bundle(tmp_path / "elsewhere")
    (remote / "tiny@next").symlink_to(tmp_path / "elsewhere")

    bring(remote, target)

    assert sorted(path.name for path in target.iterdir()) == ["tiny", "wide"]
    assert '"names":["tiny@next"]' in capsys.readouterr().out


def test_a_store_that_is_itself_a_link_is_read(remote, target, tmp_path):
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "tone").symlink_to(remote)

    bring(tmp_path / "link" / "tone", target)

    assert intact(target / "tiny")


def test_a_name_that_is_not_utf_8_is_ignored_and_logged(remote, target, capsys):
    Path(os.fsdecode(os.fsencode(remote) + b"/\xff\xfe")).mkdir()

    bring(remote, target)

    assert intact(target / "tiny")
    assert '"names":["??"]' in capsys.readouterr().out
