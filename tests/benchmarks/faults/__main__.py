"""Faults x what was promised: `python -m tests.benchmarks.faults --table FILE`.

Each fault gets a server of its own, with six clients of small requests (four keep their
connection), a probe of /health/live every 10 ms, of /health/ready every 100 ms, and scrapes. It may
be killed and started again: finished faults are kept in `--state`. The last line is JSON; the exit
status is 1 if a promise is broken. What this machine cannot inject is skipped, and the table says
so.
"""

import argparse
import importlib
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from tests.benchmarks.faults.run import run
from tests.benchmarks.faults.scene import FAULTS
from tests.benchmarks.faults.table import markdown
from tests.support.bundles import write_registry
from tests.support.processes import ROOT

GROUPS = ("process", "log", "registry", "store", "limit", "engine", "network", "start")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORDS", help="part of names"
    )
    parser.add_argument("--list", action="store_true", help="print the faults, and inject none")
    parser.add_argument("--quick", action="store_true", help="a few that take seconds")
    parser.add_argument("--state", type=Path, default=ROOT / "build" / "faults")
    parser.add_argument("--restart", action="store_true", help="discard the faults that are done")
    parser.add_argument("--table", type=Path, help="file for the Markdown table")
    parser.add_argument(
        "--tries", type=int, default=1, help="of a fault whose promise is broken; default: 1"
    )
    parser.add_argument(
        "--untimed", action="store_true", help="bounds on time do not count: the machine is busy"
    )
    arguments = parser.parse_args()
    for group in GROUPS:
        importlib.import_module(f"tests.benchmarks.faults.{group}_faults")
    chosen = [each for each in FAULTS.values() if _is_chosen(each, arguments)]
    if arguments.list:
        for each in chosen:
            print(f"{each.group:9} {each.name} ({each.mode})")
        return 0
    if arguments.restart:
        shutil.rmtree(arguments.state, ignore_errors=True)
    arguments.state.mkdir(parents=True, exist_ok=True)
    rows = _rows(chosen, arguments)
    broken = {row["fault"]: row["broken"] for row in rows if row.get("broken")}
    skipped = [row["fault"] for row in rows if "skipped" in row]
    gaps = [row["longest_gap_ms"] for row in rows if row.get("longest_gap_ms") is not None]
    summary = {
        "faults": len(rows) - len(skipped),
        "kept": len(rows) - len(skipped) - len(broken),
        "broken": broken,
        "skipped": skipped,
        "requests": sum(row.get("requests", 0) for row in rows),
        "longest_live_gap_ms": max(gaps, default=None),
    }
    table = markdown(rows, summary)
    if arguments.table:
        arguments.table.write_text(table)
    print(table)
    print(json.dumps(summary))
    return int(bool(broken))


def _is_chosen(fault, arguments):
    named = not arguments.only or any(words in fault.name for words in arguments.only)
    return named and (fault.quick or not arguments.quick)


def _rows(chosen, arguments):
    rows = []
    with tempfile.TemporaryDirectory() as folder, tqdm(chosen, unit="fault") as bar:
        source = write_registry(Path(folder) / "registry", Path(folder))
        for fault in bar:
            bar.set_postfix_str(fault.name)
            kept = arguments.state / (re.sub(r"\W+", "-", fault.name) + ".json")
            if not kept.exists():
                gaps = []
                for attempt in range(1, arguments.tries + 1):
                    row = _row(fault, source, timed=not arguments.untimed)
                    if fault.bounded and row.get("live_gap_ms") is not None:
                        gaps.append(row["live_gap_ms"])
                    row |= {"attempt": attempt, "longest_gap_ms": max(gaps, default=None)}
                    kept.write_text(json.dumps(row, indent=1))
                    if not row.get("broken"):
                        break
            rows.append(json.loads(kept.read_text()))
            if rows[-1].get("broken"):
                bar.write(f"{fault.name}: {'; '.join(rows[-1]['broken'])}")
    return rows


def _row(fault, source, *, timed):
    try:
        return run(fault, source, timed=timed)
    except Exception as error:  # noqa: BLE001  a row of the table
        broken = [repr(error)]
    return {"group": fault.group, "fault": fault.name, "mode": fault.mode, "broken": broken}


if __name__ == "__main__":
    sys.exit(main())
