"""Instructions that one classified text costs in the server, which no other work can change.

`python -m tests.benchmarks.path_instructions`

The servers of path_cost run under valgrind's callgrind, the reference and Sizewise without and with
everything. It counts what they execute outside the kernel while they answer so many requests from
32 connections, after they have answered the same once, so every word is known. Runs of one server
differ by 1 or 2 %, for batches form as they may. The figures tell what a change saves; what an
instruction costs, only path_cost does. With --calls N each server has the N functions in C that
cost most where Python calls them, with all that they call. The last line is JSON: the instructions
by server.
"""

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx

from loadtest.measure.subprocesses import exit_on_sigterm
from loadtest.measure.workload import seeded_texts
from tests.benchmarks.bench import alone
from tests.benchmarks.path_cost import TEXTS, running
from tests.benchmarks.path_servers import KEY, servers
from tests.support.processes import ROOT

# Valgrind takes fifty times as long.
START_S = 600
ANSWER_S = 120
CONTROL_S = 60
ATTEMPTS = 5
CLIENTS = 32
HEADERS = {"Authorization": f"Bearer {KEY}", "Cache-Control": "no-cache"}
# Python 3.11 calls functions in C through the first, and its own through the second.
_CALLERS = re.compile(
    r"_PyEval_EvalFrameDefault|type_call|cfunction_|method_vectorcall|_PyObject_MakeTpCall"
)
_OWN = re.compile(
    r"Py\w*([Cc]all|Iter_Send)|_Py(Function_Vectorcall|Object_Call|Frame_)|task_wakeup"
)
_CALLER = re.compile(r"\s*[\d,]+ \(.*?\)\s+\* .*?:([^: ]+)")
_CALLED = re.compile(r"\s*([\d,]+) \(.*?\)\s+> .*?:([^: ]+) \(([\d,]+)x\) \[(.*)\]")


def counted(name, server, folder, requests):
    """Instructions of one text, and callgrind's file."""
    found = folder / f"{name}.callgrind"
    command = [
        "valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no",
        f"--callgrind-out-file={found}", *server.command,
    ]  # fmt: skip
    # The order of a set is what runs may differ by.
    server = replace(server, command=command, environ=server.environ | {"PYTHONHASHSEED": "0"})
    bodies = [{"texts": [text], "truncate": True} for text in seeded_texts(requests, seed=0)]
    first = json.dumps(bodies[0]).encode()
    with running(name, server, first, start_s=START_S) as (process, url):
        asyncio.run(send(url, bodies))
        control(process.pid, "--instr=on")
        asyncio.run(send(url, bodies))
        control(process.pid, "--dump")
    dump = found.with_name(f"{found.name}.1")
    total = int(re.search(r"^totals: (\d+)", dump.read_text(), re.MULTILINE)[1])
    return total / requests, dump


async def send(url, bodies):
    """Send each body; exit where one is not answered with 2xx."""
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    waiting = iter(bodies)

    async def take_turns(client):
        for body in waiting:
            answer = await posted(client, f"{url}/v1/classify", body)
            if not answer.is_success:
                sys.exit(f"{url} answered {answer.status_code}: {answer.text}")

    async with (
        httpx.AsyncClient(limits=limits, headers=HEADERS, timeout=ANSWER_S) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(CLIENTS):
            group.create_task(take_turns(client))


async def posted(client, url, body):
    """The answer to a body, sent anew where the server has closed the connection meanwhile.

    uvicorn closes one 5 s after its last answer, though the next request may have come by then.
    """
    for _ in range(ATTEMPTS):
        with suppress(httpx.TransportError):
            return await client.post(url, json=body)
    sys.exit(f"{url} did not answer")


def control(pid, what):
    """Tell callgrind to count, or to write what it has counted."""
    subprocess.run(
        ["callgrind_control", what, str(pid)], check=True, capture_output=True, timeout=CONTROL_S
    )


def calls(dump):
    """Counters of instructions, and of calls, by function in C that Python calls."""
    printed = subprocess.run(
        ["callgrind_annotate", "--tree=calling", "--inclusive=yes", "--threshold=100", dump],
        check=True, capture_output=True, text=True, timeout=CONTROL_S,
    ).stdout  # fmt: skip
    instructions, times, calling = Counter(), Counter(), None
    for line in printed.splitlines():
        if caller := _CALLER.match(line):
            calling = _CALLERS.match(caller[1])
        elif calling and (called := _CALLED.match(line)):
            spent, function, count, library = called.groups()
            if not _CALLERS.match(function) and not _OWN.match(function):
                name = f"{function.partition(chr(39))[0]} of {Path(library).name}"
                instructions[name] += int(spent.replace(",", ""))
                times[name] += int(count.replace(",", ""))
    return instructions, times


def main():
    exit_on_sigterm()
    arguments = parse()
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, server in servers(arguments, alone(arguments.bundle, folder), folder).items():
            found[name], dump = counted(name, server, folder, arguments.requests)
            print(f"{name:12} {found[name] / 1e3:6.0f} thousand instructions a text", flush=True)
            if arguments.calls:
                instructions, times = calls(dump)
                for function, spent in instructions.most_common(arguments.calls):
                    a_text, count = spent / arguments.requests, times[function] / arguments.requests
                    print(f"  {a_text / 1e3:6.1f} thousand in {count:5.2f} calls of {function}")
    print(json.dumps(found))


def parse():
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.path_instructions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="of the code to compare")
    parser.add_argument("--requests", type=int, default=TEXTS, help="to each server")
    parser.add_argument("--calls", type=int, default=0, metavar="N", help="see above")
    parser.set_defaults(
        bundle=ROOT / "models/registry/sentiment/small-int8",
        http_processes=[0], everything=True, server=[], before_python=sys.executable,
    )  # fmt: skip
    if not shutil.which("valgrind"):
        parser.exit(2, "valgrind is missing: apt-get install valgrind\n")
    return parser.parse_args()


if __name__ == "__main__":
    main()
