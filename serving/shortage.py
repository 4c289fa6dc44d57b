"""What fails because the machine has no thread, process or file descriptor left: it may later."""

import errno
import os

from serving.errors import BundleError

_NO_THREAD = "can't start new thread"
_NUMBERS = {errno.EAGAIN, errno.EMFILE, errno.ENFILE}
_WORDS = (_NO_THREAD, *map(os.strerror, _NUMBERS))


class Shortage(BundleError):
    """The machine was short of something, which says nothing of the bundle or the registry."""


def is_shortage(error: BaseException | None) -> bool:
    """Return whether an error, or a cause of it, is that the machine is short of something."""
    while error:
        short_of_thread = isinstance(error, RuntimeError) and _NO_THREAD in str(error)
        short_of_more = isinstance(error, OSError) and error.errno in _NUMBERS
        if isinstance(error, Shortage) or short_of_thread or short_of_more:
            return True
        error = error.__cause__
    return False


def tells_shortage(words: str) -> bool:
    """Return whether another process says that the machine is short of something."""
    return any(each in words for each in _WORDS)
