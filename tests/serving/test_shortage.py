import errno

import pytest

from serving.errors import BundleError, failures
from serving.shortage import Shortage, is_shortage


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        RuntimeError("pthread_create failed: Resource temporarily unavailable"),
        Exception("Too many open files (os error 24)"),
        BlockingIOError(errno.EAGAIN, "none left"),
        OSError(errno.EMFILE, "none left"),
        OSError(errno.ENFILE, "none left"),
        Shortage("none left"),
    ],
)
def test_a_shortage_is_known_by_its_number_or_its_words_also_as_a_cause(error):
    with pytest.raises(BundleError) as raised, failures(BundleError, "model.onnx"):
        raise error

    assert is_shortage(error)
    assert is_shortage(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        None,
        RuntimeError("no such operator"),
        BundleError("manifest.json: there is no family Too many open files"),
        ValueError("Expecting value: Resource temporarily unavailable"),
        FileNotFoundError(errno.ENOENT, "No such file", "/models/Too many open files"),
    ],
)
def test_words_that_a_file_or_its_name_holds_are_no_shortage(error):
    assert not is_shortage(error)
