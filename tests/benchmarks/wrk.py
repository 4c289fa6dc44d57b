"""One run of wrk (Debian's package), the HTTP client of the programs that measure."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

START_AND_END_S = 60
_SCRIPT = """
local bodies = {}
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local turn = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Cache-Control"] = "no-cache"
if os.getenv("KEY") then wrk.headers["Authorization"] = "Bearer " .. os.getenv("KEY") end
function request()
  turn = turn % #bodies + 1
  return wrk.format(nil, "/v1/classify", nil, bodies[turn])
end
function done(summary, latency, requests)
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "bad": %d, "p50_ms": %f, "p99_ms": %f}\\n',
    summary.requests, summary.duration / 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


def require(parser):
    """Exit with status 2 and one sentence where wrk is missing."""
    if not shutil.which("wrk"):
        parser.exit(2, "wrk is missing: apt-get install wrk\n")


def run(url, folder, bodies, clients, seconds, *, key=None):
    """POST the bodies in turns to /v1/classify from `clients` connections; wrk's own summary.

    A caller's `key` goes with each of them.
    """
    bodies_path, script_path = Path(folder) / "bodies", Path(folder) / "post.lua"
    bodies_path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    script_path.write_text(_SCRIPT)
    output = subprocess.run(
        [
            "wrk", "--threads", "1", "--connections", str(clients), "--duration", f"{seconds}s",
            "--timeout", "30s", "--latency", "--script", str(script_path), url,
        ],
        env={**os.environ, "BODIES": str(bodies_path)} | ({"KEY": key} if key else {}),
        capture_output=True, text=True, check=True, timeout=seconds + START_AND_END_S,
    ).stdout  # fmt: skip
    return json.loads(re.search(r"^\{.*\}$", output, re.MULTILINE).group())
