"""Reads a family's folder on this machine: files alone, and no link that lies in it is followed."""

import errno
import os
from io import BufferedReader
from itertools import islice
from pathlib import Path

from serving.bundles.files import open_file
from serving.logs import log

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def names(root: str, most: int) -> dict[str, bool]:
    """Return at most so many names in a folder, each with whether it is a folder."""
    found, links = {}, []
    with os.scandir(root) as entries:
        for each in islice(entries, most):
            found[each.name] = each.is_dir(follow_symlinks=False)
            if each.is_symlink():
                links.append(each.name)
    if links:
        log("ignored in the store: links are not followed", names=sorted(links)[:10])
    return found


def open_below(root: str, name: str) -> BufferedReader:
    """Open a file of a folder; `name` may begin with a folder in it. Raises OSError."""
    *folders, last = name.split("/")
    below = os.open(root, _FOLDER)
    try:
        for folder in folders:
            inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=below)
            os.close(below)
            below = inner
        return open_file(Path(last), below=below)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError("it is a link, and links in a store are not followed") from error
        raise
    finally:
        os.close(below)
