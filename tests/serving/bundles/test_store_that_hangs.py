"""A mount whose reads never end: `fetch` ends in time, says which, and keeps no thread a try."""

import threading
from io import BytesIO

import pytest

from serving.bundles import local_store
from serving.bundles import store as store_module
from serving.bundles.fetch import fetch
from serving.errors import StartError
from tests.support.bundles import write_bundle
from tests.support.patience import ends

STEPS = ("names", "open", "read")


class Hanging(BytesIO):
    """A file whose reads wait, as those of a file server that is gone do."""

    def __init__(self, released):
        super().__init__(b"x")
        self._released = released

    def read(self, _size=-1):
        self._released.wait()
        return b""


@pytest.fixture
def released():
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "_STEP_S", 0.2)
    monkeypatch.setattr(store_module, "_LISTING_S", 0.2)
    write_bundle(tmp_path / "tone" / "tiny")
    return f"file://{tmp_path}/tone"


def hang(monkeypatch, step, released):
    if step == "names":
        monkeypatch.setattr(local_store, "names", lambda *_: released.wait())
    elif step == "open":
        monkeypatch.setattr(local_store, "open_below", lambda *_: released.wait())
    else:
        monkeypatch.setattr(local_store, "open_below", lambda *_: Hanging(released))


@pytest.mark.parametrize("step", STEPS)
def test_it_ends_in_time_and_goes_on_when_the_mount_is_back(
    source, tmp_path, monkeypatch, released, step
):
    target = tmp_path / "here" / "tone"
    with monkeypatch.context() as hung:
        hang(hung, step, released)
        for _ in range(6):
            with pytest.raises(StartError, match=r"cannot be read: no answer within 0 s"):
                ends(lambda: fetch(source, target))
        waiting = [each for each in threading.enumerate() if each.name.startswith("store")]
        assert len(waiting) <= 4
        released.set()

    ends(lambda: fetch(source, target))
    assert (target / "tiny" / "manifest.json").is_file()
