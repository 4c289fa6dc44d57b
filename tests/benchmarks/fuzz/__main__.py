"""A million mutated requests over every protocol: none of 5xx, no hang, no growth.

`python -m tests.benchmarks.fuzz --requests 1000000 --out FOLDER`

Each part starts a server of its own and sends its share: mutated bytes, mutated JSON values, gRPC,
the admin API, bytes, values and gRPC to two HTTP processes, and what schemathesis makes of the
OpenAPI documents.
Another process asks /health/live every 10 ms all the time. What is done is kept in FOLDER: after a
kill the same command goes on. A request that fails is kept there too; `--replay FILE` sends it
again.
"""

import argparse
import asyncio
import base64
import json
import shutil
import sys
import tempfile
from pathlib import Path

import uvloop
from tqdm import tqdm

from loadtest.measure.subprocesses import exit_on_sigterm
from tests.benchmarks.fuzz import grpc_fuzzer, parts
from tests.benchmarks.fuzz.byte_fuzzer import Exchange
from tests.benchmarks.fuzz.framing import framing_of
from tests.benchmarks.fuzz.http_client import ask, opened
from tests.benchmarks.fuzz.servers import server
from tests.benchmarks.fuzz.tally import CLASSES


def main():
    exit_on_sigterm()
    arguments = parse()
    if arguments.replay:
        return replay(arguments.replay)
    out = arguments.out
    if arguments.restart and out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    subject = {"requests": arguments.requests, "seed": arguments.seed}
    kept = out / "run.json"
    if kept.exists() and json.loads(kept.read_text()) != subject:
        print(f"fuzz: {out} holds another run: give --restart or another --out", file=sys.stderr)
        return 2
    kept.write_text(json.dumps(subject))
    print(f"seed {arguments.seed}, kept in {out}")
    with tqdm(total=_total(arguments), unit="request") as bar:
        results = [_part(name, arguments, bar) for name in arguments.parts]
    for result in results:
        _keep_faults(result, out)
    print(table(results))
    broken = [f"{each['part']}: {why}" for each in results for why in promises(each)]
    for why in broken:
        print(f"BROKEN {why[:1000]}")
    for result in results:
        result["faults"] = len(result["faults"])
    print(json.dumps({**subject, "parts": results, "broken": len(broken)}))
    return int(bool(broken))


def parse():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--parts", nargs="+", choices=list(parts.PARTS), default=list(parts.PARTS))
    parser.add_argument("--processes", type=int, default=2, help="clients; 0: in this process")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--restart", action="store_true", help="forget what --out holds")
    parser.add_argument("--tiny", action="store_true", help="without the shipped registry")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="send a kept request again")
    return parser.parse_args()


def _requests(name, arguments):
    return max(1, round(arguments.requests * parts.PARTS[name].share))


def _total(arguments):
    return sum(_requests(name, arguments) for name in arguments.parts)


def _part(name, arguments, bar):
    """The part's result; from the folder if it is done."""
    done = arguments.out / f"{name}.json"
    if done.exists():
        bar.update(_requests(name, arguments))
        return json.loads(done.read_text())
    bar.set_description(name)
    result = parts.run(
        name, _requests(name, arguments), seed=arguments.seed, folder=arguments.out,
        processes=arguments.processes, progress=bar.update, shipped=not arguments.tiny,
    )  # fmt: skip
    done.write_text(json.dumps(result))
    return result


def promises(result):
    """What of the promises does not hold."""
    return [
        *result["problems"],
        *(f"{each['what']} ({each['part']} {each['number']})" for each in result["faults"]),
    ]


def table(results):
    """Requests, answers by class, hangs, the longest silence and growth of each part."""
    titles = ["part", "requests", *CLASSES, "hangs", "live ms", "RSS MB 10 %/100 %",
              "files", "threads", "s"]  # fmt: skip
    rows = [titles]
    for each in results:
        at_10, at_100 = each["at_10"] or {}, each["at_100"] or {}
        pairs = [
            f"{at_10.get(name, 0) // unit}/{at_100.get(name, 0) // unit}"
            for name, unit in (("rss_bytes", 1 << 20), ("descriptors", 1), ("threads", 1))
        ]
        rows.append(
            [each["part"], f"{each['requests']:,}"]
            + [f"{each['classes'][name]:,}" for name in CLASSES]
            + [str(each["hangs"]), f"{each['live_longest_ms']:.0f}", *pairs]
            + [f"{each['seconds']:.0f}"]
        )  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def _keep_faults(result, out):
    for each in result["faults"]:
        folder = out / "faults"
        folder.mkdir(exist_ok=True)
        (folder / f"{each['part']}-{each['number']}.json").write_text(json.dumps(each, indent=1))


def replay(path):
    """Send a kept request to a fresh server of its part, and print what is answered."""
    kept = json.loads(path.read_text())
    part = parts.PARTS[kept["part"]]
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder), keys=part.keys, **part.settings) as running,
    ):
        target = parts.target_of(kept["part"], part, running)
        if kept.get("about", "").startswith(("/", "HTTP/2")):
            tally = asyncio.run(grpc_fuzzer.share(target, kept["seed"], [kept["number"]]))
            found = [each["what"] for each in tally.faults]
            print(f"{tally.answers}, {found or 'no fault'}")
            return int(bool(found))
        sent = [base64.b64decode(each) for each in kept["parts"]]
        exchange = Exchange(sent, kept["then"], framing_of(b"".join(sent)), kept["pause_s"])
        what, answers = uvloop.run(_again(target.port, exchange))
        for each in answers:
            print((each.head + b"\r\n" + each.content[:2000]).decode("latin-1"))
        print(what or "answered")
        print(*running.running.log().splitlines()[-5:], sep="\n")
    return int(bool(what) or any(each.status >= 500 for each in answers))


async def _again(port, exchange):
    connection = await opened(port)
    return await ask(connection, exchange)


if __name__ == "__main__":
    sys.exit(main())
