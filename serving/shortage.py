"""What fails because the machine has no thread, process or file descriptor left: it may later."""

import errno
import os

from serving.errors import BundleError, SizewiseError

_NUMBERS = {errno.EAGAIN, errno.EMFILE, errno.ENFILE}
_WORDS = ("can't start new thread", *map(os.strerror, _NUMBERS))


class Shortage(BundleError):
    """The machine was short of something, which says nothing of the bundle or the registry."""


def is_shortage(error: BaseException | None) -> bool:
    """Return whether an error, or a cause of it, is that the machine is short of something.

    Native libraries have only words for it. Words of our own errors and of parsers, which quote
    what a file holds, and names of files in those of the system do not count.
    """
    while error:
        if isinstance(error, OSError):
            short = error.errno in _NUMBERS
        elif isinstance(error, SizewiseError | ValueError):
            short = isinstance(error, Shortage)
        else:
            short = tells_shortage(str(error))
        if short:
            return True
        error = error.__cause__
    return False


def tells_shortage(words: str) -> bool:
    """Return whether a library or another process says that the machine is short of something."""
    return any(each in words for each in _WORDS)
