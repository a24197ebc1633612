"""A real browser for tests: Debian's chromium, without a window."""

import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from tests.helpers import seconds

MISSING = "there is no chromium: these tests need the packages chromium and chromium-driver (Debian)"
_WORDS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
_WORDS += ["--disable-extensions", "--disable-background-networking", "--disable-component-update"]


def driver() -> Optional[str]:
    """Return the path of chromedriver, if the browser is there as well."""
    return shutil.which("chromedriver") if shutil.which("chromium") else None


def must_be_here() -> bool:
    """Return whether tests without the browser are a fault: in CI, on Debian."""
    return bool(os.environ.get("CI")) and sys.platform == "linux" and Path("/etc/debian_version").exists()


#: For modules of tests that need the browser: ``pytestmark = needs_chromium``.
needs_chromium = pytest.mark.skipif(driver() is None, reason=MISSING)


class Browser:
    """A browser with one page. A context manager ends it.

    Attributes:
        shots: The folder where screenshots are put.
    """

    def __init__(self, shots: Path) -> None:
        self.shots = shots
        options = Options()
        options.binary_location = shutil.which("chromium") or ""
        for word in _WORDS:
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self._driver = webdriver.Chrome(options=options, service=Service(driver()))
        self._driver.set_script_timeout(seconds(30))
        self.resize(1400, 850)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *error: object) -> None:
        self._driver.quit()

    def open(self, path: Path) -> None:
        """Open a page of a report, and wait until it shows its data."""
        self._driver.get(path.as_uri())
        self.wait("document.documentElement.dataset.ready")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page, and return what it returns."""
        return self._driver.execute_script(script, *arguments)

    def run_async(self, script: str) -> Any:
        """Run JavaScript that awaits, and return what it returns."""
        whole = f"const done = arguments[0]; (async () => {{ {script} }})().then(done, (error) => done(String(error)));"
        return self._driver.execute_async_script(whole)

    def wait(self, expression: str, within: float = 10.0) -> None:
        """Wait until an expression is true in the page."""
        deadline, pause = time.monotonic() + seconds(within), threading.Event()
        while not self.run(f"return Boolean({expression})"):
            assert time.monotonic() < deadline, f"not within {within} s: {expression}"
            pause.wait(0.02)

    def texts(self, selector: str) -> List[str]:
        """Return what can be read in each element."""
        found: List[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText.trim())", selector
        )
        return found

    def text(self, selector: str) -> str:
        """Return what can be read in the first element. Fails if there is none."""
        texts = self.texts(selector)
        assert texts, f"nothing is {selector}"
        return texts[0]

    def click(self, selector: str) -> None:
        """Click an element, as a hand does. The list may be drawn anew meanwhile, and more than once."""
        for _ in range(20):
            with suppress(StaleElementReferenceException):
                self._driver.find_element(By.CSS_SELECTOR, selector).click()
                return
        raise AssertionError(f"it is always drawn anew: {selector}")

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        ActionChains(self._driver).send_keys(*keys).perform()

    def resize(self, width: int, height: int) -> None:
        """Make the window larger or smaller."""
        self._driver.set_window_size(width, height)

    def emulate(self, scheme: str = "light", media: str = "screen") -> None:
        """Have the system be dark or light, or the page be printed."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._command("Emulation.setEmulatedMedia", {"media": media, "features": features})

    def pdf(self) -> str:
        """Print the page, and return the PDF in base64."""
        return str(self._command("Page.printToPDF", {"preferCSSPageSize": True})["data"])

    def shot(self, name: str) -> None:
        """Take a screenshot, for people to look at."""
        assert self._driver.save_screenshot(str(self.shots / f"{name}.png"))

    def complaints(self) -> List[Dict[str, Any]]:
        """Return what the console has to say since the last look."""
        found: List[Dict[str, Any]] = self._driver.get_log("browser")
        return found

    def _command(self, name: str, arguments: Dict[str, Any]) -> Any:
        return self._driver.execute_cdp_cmd(name, arguments)
