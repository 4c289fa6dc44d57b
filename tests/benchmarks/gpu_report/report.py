"""The report's JSON: what was measured of what, part by part, kept over a kill."""

import json
import time
from contextlib import suppress

from tests.benchmarks.gpu_report.run import Ended, Progress, run

SCHEMA_VERSION = 1
DONE, NOT_BEGUN = "done", "not begun"


class Other(Exception):
    """What is in the file was measured of something else."""


class Report:
    """`subject` decides whether kept parts are of the same measurement; `about` describes it."""

    def __init__(self, path, subject, about):
        self._path = path
        self.content = {
            "schema_version": SCHEMA_VERSION, "subject": subject, "about": about, "parts": {},
        }  # fmt: skip

    def resume(self):
        """Keep what was measured. Raises Other where it is of another subject."""
        kept = read(self._path)
        if kept is None:
            return
        ours, theirs = self.content["subject"], kept.get("subject", {})
        if kept.get("schema_version") != SCHEMA_VERSION or ours != theirs:
            differs = sorted(key for key in ours if ours[key] != theirs.get(key))
            told = "; ".join(f"{k} was {theirs.get(k)}, is {ours[k]}" for k in differs)
            raise Other(
                f"{self._path} holds other measurements ({told or 'another schema'}): "
                "give another --out, or --restart to measure all again"
            )
        self.content["parts"] = kept["parts"]

    def measure(self, parts, until_s, logs, clock=time.monotonic, runner=run):
        """Run what is not done and fits until `until_s`; name what does not."""
        parts = list(parts)
        for part in parts:
            if part.name not in self.content["parts"]:
                self._keep(part, Ended(NOT_BEGUN, 0.0, {}, "the report ended before it"))
        for number, part in enumerate(parts, 1):
            label = f"[{number}/{len(parts)}] {part.name}"
            before = self.content["parts"][part.name]
            if before["state"] == DONE:
                Progress(label, 0).end("done before")
                continue
            left_s = until_s - clock()
            if part.lacks or left_s < part.usual_s:
                reason = part.lacks or (
                    f"it takes about {part.usual_s:.0f} s, and {max(0, left_s):.0f} s are left"
                )
                if not before["result"]:
                    self._keep(part, Ended(NOT_BEGUN, 0.0, {}, reason))
                Progress(label, 0).end(f"not begun: {reason}")
                continue
            limit_s = min(part.limit_s, left_s)
            progress = Progress(label, limit_s)
            progress.begin()
            ended = runner(part, limit_s, logs, progress.tell)
            self._keep(part, ended)
            told = f"{ended.state} in {ended.seconds:.0f} s"
            progress.end(told + (f": {ended.reason}" if ended.reason else ""))

    def _keep(self, part, ended):
        missing = [name for name in part.expected if name not in ended.result]
        state = ended.state
        if state == DONE and missing:
            state, ended.reason = "failed", "it ended without all of its figures"
        self.content["parts"][part.name] = {
            "state": state, "seconds": ended.seconds, "reason": ended.reason,
            "missing": missing, "result": ended.result,
        }  # fmt: skip
        self.save()

    def save(self):
        """Write the file at once, so that a kill leaves the old one or the new one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self.content, indent=2) + "\n")
        new.replace(self._path)


def read(path):
    """The content of a report, or None where there is none."""
    with suppress(FileNotFoundError, ValueError):
        return json.loads(path.read_text())
    return None


def left_out(content):
    """What the report lacks, in sentences."""
    return [
        f"{name}: {part['state']}, {part['reason']}"
        + (f"; without {', '.join(part['missing'])}" if part["missing"] and part["result"] else "")
        for name, part in content["parts"].items()
        if part["state"] != DONE
    ]
