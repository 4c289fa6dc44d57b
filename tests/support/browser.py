"""Debian's Chromium, driven by Selenium: what a page logged, whom it asked, what axe-core found."""

import json
import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit

from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

_FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")


class Browser:
    """A window; `driver` is Selenium's."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, url):
        """Go to a page with nothing stored; what the last one did is forgotten."""
        self.driver.get(url)
        self.run("localStorage.clear(); sessionStorage.clear()")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(url)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def wait(self, selector, seconds=60):
        """The first element of a selector, once there is one that can be seen."""
        return WebDriverWait(self.driver, seconds).until(
            lambda driver: next(
                (e for e in driver.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()),
                None,
            )
        )

    def says(self, words, seconds=60):
        """Wait until the page's status has the words."""
        WebDriverWait(self.driver, seconds).until(
            lambda _: words in self.find("#status").text, f"the status lacks {words!r}"
        )

    def until(self, holds, seconds=60):
        """Wait until a condition holds."""
        WebDriverWait(self.driver, seconds).until(lambda _: holds())

    def width(self, pixels, height=900):
        metrics = {
            "width": pixels,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": pixels < 600,
        }
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, wished):
        feature = {"name": "prefers-color-scheme", "value": wished}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def messages(self):
        """What the console has had since the page was opened or this was asked."""
        return [each["message"] for each in self.driver.get_log("browser")]

    def hosts(self):
        """The hosts that were asked since the page was opened or this was asked."""
        events = [
            json.loads(each["message"])["message"] for each in self.driver.get_log("performance")
        ]
        urls = [
            each["params"]["request"]["url"]
            for each in events
            if each["method"] == "Network.requestWillBeSent"
        ]
        return {urlsplit(url).netloc for url in urls if not url.startswith("data:")}

    def descriptions(self, selector):
        """What a screen reader is told of each element besides its text."""
        ask = self.driver.execute_cdp_cmd
        root = ask("DOM.getDocument", {})["root"]["nodeId"]
        found = ask("DOM.querySelectorAll", {"nodeId": root, "selector": selector})["nodeIds"]
        trees = [
            ask("Accessibility.getPartialAXTree", {"nodeId": each, "fetchRelatives": False})
            for each in found
        ]
        return [tree["nodes"][0]["description"]["value"] for tree in trees]

    def violations(self):
        """What axe-core holds against the page, with the elements."""
        found = Axe().run(self.driver)["violations"]
        return [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]


@contextmanager
def browser():
    """A window of Chromium. Fails where Debian's chromium and chromium-driver are missing."""
    paths = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    assert all(paths.values()), "install Debian's packages chromium and chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = paths["chromium"]
    for flag in _FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(paths["chromedriver"]))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
