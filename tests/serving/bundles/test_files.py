import os
import subprocess

import pytest

from serving.bundles.files import open_file, remove
from tests.support.patience import ends
from tests.support.special_files import put

KINDS = ["pipe", "socket", "folder", "file", "device", "nowhere"]


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_lies_there_is_removed(tmp_path, kind):
    put(kind, tmp_path / "there")

    ends(lambda: remove(tmp_path / "there"))

    assert not os.path.lexists(tmp_path / "there")


def test_folders_nested_beyond_the_stack_stop_nobody(tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    below = os.open(folder, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=below)
        inner = os.open("d", os.O_RDONLY, dir_fd=below)
        os.close(below)
        below = inner
    os.close(below)

    try:
        remove(folder)
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)  # pytest could not


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "file"])
def test_only_a_file_is_opened(tmp_path, kind):
    put(kind, tmp_path / "there")

    with pytest.raises(OSError, match=r"is not a file|No such"):
        ends(lambda: open_file(tmp_path / "there"))
