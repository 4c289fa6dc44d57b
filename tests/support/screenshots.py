"""Pictures of pages for the documentation: `python -m tests.support.screenshots`."""

import tempfile
from pathlib import Path

from loadtest.report.build import rebuild
from serving.settings import SHIPPED_REGISTRY
from tests.support.browser import browser
from tests.support.processes import serving
from tests.support.written_runs import write_run

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SIZES = {1280: 1100, 390: 1500}
SCHEMES = ("light", "dark")
TEXT = "Not a great film, but the ending is worth the wait."


def main() -> None:
    """Write each page in each width and colour scheme."""
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        serving(SHIPPED_REGISTRY) as running,
        browser() as window,
    ):
        report = write_report(Path(home))
        for width, height in SIZES.items():
            for scheme in SCHEMES:
                window.width(width, height)
                window.scheme(scheme)
                window.open(f"{running.url}/")
                window.wait("#variant option:nth-child(2)")
                window.find("#texts").send_keys(TEXT)
                window.find("#classify").click()
                window.wait("article")
                window.driver.save_screenshot(str(IMAGES / f"playground-{width}-{scheme}.png"))
                window.driver.get(f"{running.url}/playground/family.html")
                window.wait("#live table")
                window.driver.save_screenshot(str(IMAGES / f"family-{width}-{scheme}.png"))
                window.driver.get(report.as_uri())
                window.wait("#timeline canvas")
                window.driver.save_screenshot(str(IMAGES / f"report-{width}-{scheme}.png"))


def write_report(home: Path) -> Path:
    """Write the report of simulated servers, beside an earlier one, and return its page."""
    rebuild(write_run(home / "last-week", slowdown=1.3))
    deploy = {"rps": 2000, "min_accuracy": 0.85, "price_per_core_hour": 0.04}
    run = write_run(home / "today", deploy=deploy, disturbed=[("small", "open-40", 1)])
    rebuild(run, before=home / "last-week")
    return run / "report.html"


if __name__ == "__main__":
    main()
