"""Programs of clients that we did not write, of Python and of other languages.

The Python ones live in a virtual environment of their own, since their dependencies contradict
ours; `make test` installs them from tests/support/clients.txt. The others are Debian's packages,
which only root can install.
"""

import contextlib
import itertools
import json
import shutil
import socket
import subprocess
import threading

from tests.support.processes import ROOT

PYTHON = ROOT / ".venv-clients" / "bin" / "python"
PROGRAMS = ROOT / "tests" / "support" / "client_programs"


def ask(program, *arguments):
    """What tests/support/client_programs/<program>.py prints, a JSON value."""
    assert PYTHON.exists(), "run `make test`: it installs the client libraries"
    return printed(PYTHON, PROGRAMS / f"{program}.py", *arguments)


def ask_with(command, package, program, *arguments):
    """What this program prints, run by a command of a Debian package: a JSON value."""
    assert shutil.which(command[0]), f"{command[0]} is missing: apt-get install {package}"
    return printed(*command, PROGRAMS / program, *arguments)


def printed(*command):
    """The last line that a command prints, a JSON value."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def counting_relay(address):
    """(URL, list that gets an entry for each connection) of a relay to this address."""
    accepted, threads = [], []

    def start(function, *arguments):
        threads.append(threading.Thread(target=function, args=arguments))
        threads[-1].start()

    def copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def relay():
        with contextlib.suppress(OSError):  # the listener is shut down in the end
            while True:
                client, _ = listener.accept()
                accepted.append((client, socket.create_connection(address)))
                for pair in (accepted[-1], accepted[-1][::-1]):
                    start(copy, *pair)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        start(relay)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", accepted
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for each in threads:
                each.join(10)
            for each in itertools.chain(*accepted):
                each.close()
