"""Run one fault: start its server, watch, inject, heal, end, and judge."""

import signal
import subprocess
import tempfile
import time
from collections import Counter
from itertools import dropwhile
from pathlib import Path

from tests.benchmarks.faults import alerts
from tests.benchmarks.faults.outcome import (
    Asked,
    Outcome,
    Probed,
    events_of,
    longest_gap_ms,
    recovery_s,
)
from tests.benchmarks.faults.scene import (
    LIMIT_S,
    SETTINGS,
    Scene,
    Unavailable,
    fresh_registry,
    watching,
)
from tests.support.processes import serving, wait_until_ready

AFTER_S = 1.0
MOST_S = 180
LIVE_MS = 100


def run(fault, source, *, timed=True):
    """One row of the table, as a dictionary; bounds on time count if it is `timed`."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        registry = fresh_registry(source, place)
        began_s = time.monotonic()
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(MOST_S)
        try:
            given = SETTINGS | fault.how | fault.prepare(place)
            kept = given.pop("kept", None)
            with serving(registry, wait_ready=False, **given) as server:
                scene = Scene(server, place, kept)
                outcome = _played(fault, scene, timed)
        except Unavailable as error:
            return {"fault": fault.name, "mode": fault.mode, "skipped": str(error)}
        finally:
            signal.alarm(0)
        return _row(fault, scene, outcome) | {"took_s": time.monotonic() - began_s}


def _too_long(*_):
    raise TimeoutError(f"the fault took over {MOST_S} s")


def _played(fault, scene, timed):
    server = scene.server
    if fault.start:
        scene.injected()
    else:
        wait_until_ready(server)
    with watching(scene.port) as (begun, seen):
        if not fault.start:
            begun()
        logged = len(server.log_path.read_text())
        fault.inject(scene)
        if server.process.poll() is None:
            time.sleep(AFTER_S)
        signalled_s = scene.ended_s or time.monotonic()
        log = server.log_path.read_text()[logged:]
        if not scene.ended_s and server.process.poll() is None:
            server.process.terminate()
            try:
                server.process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                scene.broken.append(f"SIGTERM did not end it within {LIMIT_S} s")
        ended_s = scene.ended_s or time.monotonic()
        record = seen()
    from_s = scene.injected_s if scene.ended_s else signalled_s
    if fault.start:
        record |= {name: since_listening(record[name]) for name in ("live", "ready")}
    return _outcome(scene, record, log, signalled_s, ended_s - from_s, timed=timed)


def since_listening(probes):
    """The probes since the first that was not refused: a server that starts does not listen yet."""
    return list(dropwhile(lambda each: Probed(*each).outcome == "refused", probes))


def _outcome(scene, record, log, signalled_s, end_s, *, timed):
    requests = [Asked(*each) for each in record["requests"]]
    live = [Probed(*each) for each in record["live"]]
    ready = [Probed(*each) for each in record["ready"]]
    if not timed:
        live, ready = ([e for e in seen if e.outcome != "timeout"] for seen in (live, ready))
    injected_s = scene.injected_s
    # The end of the server is not the fault's, but what it has accepted by then has to be answered.
    concerned = [
        each
        for each in requests
        if each.ended_s >= injected_s
        and (each.began_s < signalled_s or each.outcome not in {"refused", "unreachable"})
    ]
    before_end = [each for each in concerned if each.began_s < signalled_s]
    first, before, during = _scrapes(scene, record["scrapes"], signalled_s)
    lives = [each for each in live if injected_s <= each.ended_s <= signalled_s]
    readys = [each for each in ready if injected_s <= each.ended_s <= signalled_s]
    return Outcome(
        requests=concerned,
        live=lives,
        ready=readys,
        live_gap_ms=longest_gap_ms(live, record["late"], injected_s, signalled_s),
        recovered_s=None if scene.ended_s else recovery_s(before_end, scene.healed_s or injected_s),
        status=scene.server.process.poll(),
        end_s=end_s,
        events=events_of(log),
        moved=alerts.moved(before[1], during[1]),
        alerts=alerts.firing(first, before, during) if before[1] or during[1] else [],
        timed=timed,
    )


def _scrapes(scene, scrapes, signalled_s):
    """(first, last before the fault, last while it lasted), each (seconds, page or None)."""
    until_s = scene.healed_s or signalled_s
    if scene.ended_s:
        until_s = scrapes[-1][0] if scrapes else until_s
    before = [each for each in scrapes if each[0] < scene.injected_s and each[1]]
    since = [each for each in scrapes if each[0] >= scene.injected_s]
    # A fault that is shorter than the time between scrapes shows in the next one.
    during = [each for each in since if each[0] <= until_s] or since[:1]
    nothing = (scene.injected_s, None)
    return (
        before[0] if before else nothing,
        before[-1] if before else nothing,
        during[-1] if during else (until_s, None),
    )


def _row(fault, scene, outcome):
    broken = list(scene.broken)
    broken += [check.says for check in fault.checks if not check.judge(outcome)]
    if not fault.ends and outcome.status != 0:
        broken.append(f"ends with 0 after SIGTERM, not {outcome.status}")
    if fault.bounded and outcome.timed and outcome.live_gap_ms > LIVE_MS:
        broken.append(f"/health/live answers within {LIVE_MS} ms")
    promised = [each.says for each in fault.checks]
    return {
        "group": fault.group,
        "fault": fault.name,
        "mode": fault.mode,
        "promised": promised or ["ends with 0 after SIGTERM"],
        "requests": len(outcome.requests),
        "outcomes": dict(sorted(outcome.kinds.items())),
        "lost": outcome.lost,
        "recovered_s": outcome.recovered_s,
        "status": outcome.status,
        "end_s": outcome.end_s,
        "live": dict(sorted(Counter(each.outcome for each in outcome.live).items())),
        "ready": dict(sorted(Counter(each.outcome for each in outcome.ready).items())),
        "why": next((each.why for each in outcome.ready if each.why), ""),
        "live_gap_ms": None if fault.ends or fault.start else outcome.live_gap_ms,
        "events": outcome.events,
        "moved": outcome.moved,
        "alerts": outcome.alerts,
        "notes": scene.notes,
        "broken": broken,
    }
