"""Takes from Python what macOS lacks. With this folder on PYTHONPATH the interpreter imports it at
its start, and so do the processes that a server starts.
"""

import builtins
import io
import os
import socket
import sys
import sysconfig
from types import SimpleNamespace

LACKED = ("/proc", "/sys")
SO_ATTACH_FILTER = 26

sysconfig.get_config_vars()  # kept: it is read from a file that is named for the platform
sys.platform = "darwin"
sys.modules["_scproxy"] = SimpleNamespace(_get_proxy_settings=dict, _get_proxies=dict)
for name in ("sched_getaffinity", "sched_setaffinity", "process_cpu_count"):
    if hasattr(os, name):
        delattr(os, name)


def lacking(call):
    def called(path, *args, **options):
        if isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(LACKED):
            raise FileNotFoundError(2, "macOS has no", path)
        return call(path, *args, **options)

    return called


class MacSocket(socket.socket):
    def setsockopt(self, level, option, *value):
        assert (level, option) != (socket.SOL_SOCKET, SO_ATTACH_FILTER), "means another option"
        return super().setsockopt(level, option, *value)


builtins.open = io.open = lacking(open)
os.open, os.stat, os.listdir, os.scandir = map(lacking, (os.open, os.stat, os.listdir, os.scandir))
socket.socket = MacSocket
