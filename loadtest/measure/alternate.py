"""Measure two registries or servers in alternation, at the same rates, so that they compare."""

from datetime import UTC, datetime
from pathlib import Path

from loadtest.measure.run import new_folder, prepare, run_rounds
from loadtest.scenario import Scenario

_SUFFIXES = ("-1-before", "-2-after")  # so that the newest folder by name is the second side


def alternate(
    scenario: Scenario,
    out: Path,
    command: str,
    sources: tuple[str, str],
    wanted: list[str] | None = None,
) -> tuple[Path, Path]:
    """Measure each choice of two sources in turn, and return the two folders of raw times.

    A source is a folder of families or the URL of a running server. Rates that are shares are
    shares of the first source's throughput, on both sides: the same traffic.
    """
    alternation = datetime.now(UTC).isoformat()
    without_floor = scenario.model_copy(update={"floor": False})
    sides = [
        prepare(
            without_floor,
            new_folder(out, suffix),
            command,
            registry=None if _is_url(source) else Path(source),
            url=source.rstrip("/") if _is_url(source) else None,
            wanted=wanted,
            alternation=alternation,
        )
        for source, suffix in zip(sources, _SUFFIXES, strict=True)
    ]
    first, second = sides
    second.saturated_rps = first.saturated_rps
    run_rounds(sides)
    return first.folder, second.folder


def _is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))
