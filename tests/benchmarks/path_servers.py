"""The servers that path_cost measures."""

import hashlib
import json
import os
import shlex
import sys
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.support.processes import ROOT

REFERENCE = ROOT / "tests/benchmarks/reference_server.py"
SLEEPING = "tests/support/sleeping_serving.py"
KEY = "path-cost"
"""What clients send to every server; those without callers do not look at it."""


@dataclass(frozen=True)
class Server:
    """How to start a server; `{port}` in its command is replaced."""

    command: list[str]
    folder: Path = field(default_factory=Path.cwd)
    environ: dict[str, str] = field(default_factory=dict)
    is_reference: bool = False


def sizewise(checkout, python, registry, http_processes):
    """Sizewise of a checkout over the sleeping engine."""
    if (checkout / SLEEPING).is_file():
        command = [python, "-m", "tests.support.sleeping_serving"]
    else:
        # Before it had a sleeping engine: this one, over that checkout's modules.
        command = [python, "-P", str(ROOT / SLEEPING)]
    # A host without pip may have this Python's packages on the path alone.
    packages = os.environ.get("PYTHONPATH") if python == sys.executable else None
    environ = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(checkout), packages])),
        "SIZEWISE_REGISTRY": str(registry),
        "SIZEWISE_HTTP_PROCESSES": str(http_processes),
    }
    return Server(command, checkout, environ)


def everything(folder):
    """The settings of a server that keeps all it can of a hundredth of its requests."""
    callers, keys = folder / "callers.json", folder / "text-log-keys"
    sha256 = hashlib.sha256(KEY.encode()).hexdigest()
    callers.write_text(json.dumps({"client": {"key_sha256": sha256, "text_log": True}}))
    keys.write_bytes(urlsafe_b64encode(os.urandom(32)))
    return {
        "SIZEWISE_CALLERS": str(callers),
        "SIZEWISE_FEEDBACK_TEXTS": "100000",
        "SIZEWISE_TEXT_LOG": str(folder / "text-log"),
        "SIZEWISE_TEXT_LOG_KEYS": str(keys),
        "SIZEWISE_TEXT_LOG_SHARE": "0.01",
    }


def servers(arguments, registry, folder):
    """The servers to measure by name, in the order of a round; `folder` is for their files."""
    tokenizer = str(arguments.bundle / "tokenizer.json")

    def reference(python):
        return Server([python, "-P", str(REFERENCE), tokenizer, "{port}"], is_reference=True)

    found = {"reference": reference(sys.executable)}
    trees = [("sizewise", ROOT, sys.executable)]
    if arguments.before:
        trees.append(("before", arguments.before.resolve(), arguments.before_python))
        if arguments.before_python != sys.executable:
            found["before-reference"] = reference(arguments.before_python)
    for name, checkout, python in trees:
        for count in arguments.http_processes:
            full_name = f"{name}-http{count}" if count else name
            found[full_name] = sizewise(checkout, python, registry, count)
    if arguments.everything:
        plain = found["sizewise"]
        found["everything"] = replace(plain, environ=plain.environ | everything(folder))
    for each in arguments.server:
        name, _, command = each.partition("=")
        found[name] = Server(shlex.split(command))
    return found
