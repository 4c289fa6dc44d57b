"""The measurement: which variants, which phases, in which order.

It does not know how a request is sent (locustfile.py) nor how figures are made (summary.py).
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest.children import child, last_words
from loadtest.machine import machine
from loadtest.samples import Phase, read_samples
from loadtest.server import LoadTestError, ask, served
from loadtest.summary import Summary, summarise

SCHEMA_VERSION = 1
OPEN_SHARE = 0.6  # of the variant's own closed throughput, where no rate is given
END_BOUND_S = 90.0  # beyond a phase's own time: starting Locust, and its longest wait


@dataclass(frozen=True)
class Options:
    """What the user asked for; the fields are the options of `python -m loadtest run`."""

    registry: Path | None
    out: Path
    measured_s: float
    warmup_s: float
    users: int
    rate_rps: float | None
    variant: list[str] | None
    texts: Path | None
    seed: int


def run(options: Options, command: str) -> Path:
    """Measures each variant on a server of its own and returns the folder of raw times.

    The folder holds run.json (what was asked, where, and the server's own list of variants),
    samples/*.parquet and logs/. Prints a line a phase.
    Raises LoadTestError when nothing can be measured, with the remedy.
    """
    started = datetime.now(UTC)
    folder = options.out / started.strftime("%Y%m%dT%H%M%SZ")
    folder.mkdir(parents=True)
    print(f"Raw times go to {folder}; should the run break off: python -m loadtest report {folder}")
    with served(options.registry, folder / "logs" / "server.log") as url:
        listed = ask(f"{url}/v1/models")
    about = {
        "schema_version": SCHEMA_VERSION,
        "started_utc": started.isoformat(timespec="seconds"),
        "command": command,
        "machine": machine(),
        "open_share": OPEN_SHARE if options.rate_rps is None else None,
        "models": listed["models"],
    }
    (folder / "run.json").write_text(json.dumps(about, indent=2) + "\n")
    for model, variant in _targets(listed["models"], options.variant):
        log = folder / "logs" / f"server-{model}.{variant}.log"
        with served(options.registry, log) as url:
            _measure(model, variant, url, folder, options)
    return folder


def _targets(models: list[dict[str, Any]], wanted: list[str] | None) -> Iterator[tuple[str, str]]:
    """(model, variant) of every variant that was asked for; all of them by default."""
    listed = [(model["model"], variant) for model in models for variant in model["variants"]]
    ready = [
        (model, variant["variant"]) for model, variant in listed if variant["state"] == "ready"
    ]
    for model, variant in listed:
        if variant["state"] != "ready":
            print(f"{model}/{variant['variant']}: left out, its state is {variant['state']}")
    names = {variant for _, variant in ready}
    if missing := set(wanted or ()) - names:
        raise LoadTestError(
            f"--variant {', '.join(sorted(missing))}: not served; "
            f"there is {', '.join(sorted(names))}"
        )
    yield from (pair for pair in ready if not wanted or pair[1] in wanted)


def _measure(model: str, variant: str, url: str, folder: Path, options: Options) -> None:
    """The closed phase, then the open one at a rate that follows from it."""
    answer = ask(f"{url}/v1/classify", {"texts": ["Good."], "model": model, "variant": variant})
    if (answering := answer["results"][0]["variant"]) != variant:
        raise LoadTestError(f"{variant} was asked and {answering} answered: this is a server's bug")
    closed = Phase(
        model=model,
        variant=variant,
        kind="closed",
        users=options.users,
        rate_rps=0.0,
        warmup_s=options.warmup_s,
        measured_s=options.measured_s,
        seed=options.seed,
    )
    saturated = run_phase(closed, url, folder, options.texts)
    rate_rps = options.rate_rps or OPEN_SHARE * saturated.achieved_rps
    if rate_rps <= 0.0:
        raise LoadTestError(
            f"{variant} answered nothing in the closed phase, so no open rate follows from it: "
            f"read {folder / 'logs'} or give --rate"
        )
    opened = Phase(**asdict(closed) | {"kind": "open", "users": 1, "rate_rps": rate_rps})
    run_phase(opened, url, folder, options.texts)


def run_phase(phase: Phase, url: str, folder: Path, texts: Path | None = None) -> Summary:
    """Runs one phase in a Locust process of its own (gevent patches all it can reach).

    Leaves samples/<model>.<variant>.<kind>.parquet and Locust's log in the folder.
    Raises LoadTestError when Locust fails or does not end in time.
    """
    name = f"{phase.model}.{phase.variant}.{phase.kind}"
    samples, log = folder / "samples" / f"{name}.parquet", folder / "logs" / f"locust-{name}.log"
    load = f"{phase.users} users" if phase.kind == "closed" else f"{phase.rate_rps:.1f} requests/s"
    print(f"{phase.variant}: {phase.kind}, {load}, {phase.total_s:g} s ...", flush=True)
    with child(_locust_arguments(phase, url, samples, texts), log) as locust:
        try:
            status = locust.wait(phase.total_s + END_BOUND_S)
        except subprocess.TimeoutExpired as error:
            raise LoadTestError(
                f"Locust was still running {END_BOUND_S:g} s after its time: see {log}"
            ) from error
    if status or not samples.is_file():
        raise LoadTestError(f"Locust ended with status {status}: {last_words(log)}; see {log}")
    summary = summarise(read_samples(samples))
    print(f"  {_in_words(summary)}", flush=True)
    return summary


def _locust_arguments(phase: Phase, url: str, samples: Path, texts: Path | None) -> list[str]:
    options = {
        "--locustfile": str(Path(__file__).with_name("locustfile.py")),
        "--host": url,
        "--users": str(phase.users),
        "--spawn-rate": str(phase.users),
        "--exit-code-on-error": "0",
        "--phase": json.dumps(asdict(phase)),
        "--samples": str(samples),
    }
    if texts is not None:
        options["--texts"] = str(texts)
    given = [word for option in options.items() for word in option]
    user = "ClosedUser" if phase.kind == "closed" else "OpenUser"
    return ["-m", "locust", "--headless", "--only-summary", *given, user]


def _in_words(summary: Summary) -> str:
    figures = [f"{summary.achieved_rps:.1f} requests/s"]
    figures += [f"{name} {ms.value:.1f} ms" for name, ms in summary.latency_ms.items()]
    return ", ".join(figures + [f"DOUBTFUL: {doubt}" for doubt in summary.doubts])
