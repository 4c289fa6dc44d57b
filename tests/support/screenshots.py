"""Pictures of the server's pages for the documentation: `python -m tests.support.screenshots`."""

from pathlib import Path

from serving.settings import SHIPPED_REGISTRY
from tests.support.browser import browser
from tests.support.processes import serving

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SIZES = {1280: 1100, 390: 1500}
SCHEMES = ("light", "dark")
TEXT = "Not a great film, but the ending is worth the wait."


def main() -> None:
    """Write each page in each width and colour scheme."""
    IMAGES.mkdir(exist_ok=True)
    with serving(SHIPPED_REGISTRY) as running, browser() as window:
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


if __name__ == "__main__":
    main()
