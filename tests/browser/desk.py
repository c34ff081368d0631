"""A browser at the support desk, and what an agent does with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

ADMIN = "/admin/support_tickets/"
#: Seconds until the browser is given up, on a machine that has other things to do.
PATIENCE = 120
#: A colour on its way to another (the pointer rests on a button) is not the one to judge.
AXE = """
const done = arguments[1];
Promise.allSettled(document.getAnimations().map(one => one.finished))
    .then(() => axe.run(arguments[0] || document))
    .then(found => done(found.violations));
"""


class Desk:
    """Drive the browser in an agent's words."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        self.url = url
        self.heard: list[str] = []

    def log_in(self, session: str) -> None:
        """Take the session over and forget what the console said before."""
        self.size(1280, 900)
        self.dark(False)
        self.driver.get(f"{self.url}/admin/login/")
        self.driver.delete_all_cookies()
        self.driver.add_cookie({"name": "sessionid", "value": session, "path": "/"})
        self.driver.execute_script("window.localStorage.clear()")
        self.driver.get_log("browser")

    def open(self, path: str) -> None:
        """Go to a page of the support desk."""
        self.driver.get(f"{self.url}{ADMIN}{path}")

    def follow(self, text: str) -> None:
        """Click on the link with this text and wait for its page."""
        with self.leaving():
            self.driver.find_element("link text", text).click()

    def press(self, text: str) -> None:
        """Click on the button with this text and wait for the next page; one that unfolds something stays here."""
        for button in self.all("button, summary, a.st-button, input[type='submit']"):
            if button.is_displayed() and text in (button.text.strip(), button.get_attribute("value")):
                with nullcontext() if button.tag_name == "summary" else self.leaving():
                    button.click()
                return
        raise AssertionError(f"There is no button {text!r} on {self.driver.current_url}")

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Wait until what is done inside has led to another page, and until that one is there with its scripts.

        While one page takes the place of the other, the browser may have no answer at all ("unhandled inspector
        error", of no class of its own); it is asked again then.
        """
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.expected_conditions import staleness_of
        from selenium.webdriver.support.wait import WebDriverWait

        page = self.one("html")
        try:
            yield
        except WebDriverException as error:
            if type(error) is not WebDriverException:
                raise
        patience = WebDriverWait(self.driver, PATIENCE, ignored_exceptions=[WebDriverException])
        patience.until(staleness_of(page), "The page was not left")
        patience.until(lambda driver: driver.execute_script("return document.readyState") == "complete")
        self.one("#footer")

    def fill(self, **fields: str) -> None:
        """Type into the fields with these names, or choose what reads so."""
        from selenium.webdriver.support.select import Select

        for name, value in fields.items():
            field = self.one(f"[name='{name}']")
            if field.tag_name == "select":
                Select(field).select_by_visible_text(value)
            else:
                field.clear()
                field.send_keys(value)

    def one(self, selector: str) -> Any:
        """Return the element that a selector names."""
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        """Return all elements that a selector names."""
        return list(self.driver.find_elements("css selector", selector))

    @property
    def text(self) -> str:
        """Return what can be read on the page."""
        return str(self.one("main").text)

    def size(self, width: int, height: int) -> None:
        """Make the page so wide and high, in pixels, whatever the smallest window is."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def dark(self, on: bool) -> None:
        """Ask for the dark or the light theme, as an operating system does."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def is_too_wide(self) -> bool:
        """Return whether the page must be scrolled sideways."""
        width = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
        return bool(self.driver.execute_script(width))

    def unfold(self) -> None:
        """Open what is folded away."""
        self.driver.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true })")

    def photograph(self, path: Path) -> None:
        """Save what the window shows."""
        self.driver.save_screenshot(str(path))

    def violations(self, axe: str, *, within: str = "") -> list[str]:
        """Return the serious and critical findings of axe."""
        self.listen()
        self.driver.execute_script(axe)
        found = self.driver.execute_async_script(AXE, within)
        self.driver.get_log("browser")  # axe tries styles that the policy refuses, which says nothing of the page
        return [
            f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    def listen(self) -> None:
        """Take down what the console has said."""
        lines = [line for line in self.driver.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]
        self.heard += [line["message"] for line in lines if "/favicon.ico" not in line["message"]]

    def complaints(self) -> list[str]:
        """Return what the console said since the last time: refused by the policy, not found, errors of scripts."""
        self.listen()
        heard, self.heard = self.heard, []
        return heard

    def tab_to(self, selector: str, *, at_most: int = 120) -> Any:
        """Press the Tab key until the element that a selector names has the focus; return it."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        for _press in range(at_most):
            ActionChains(self.driver).send_keys(Keys.TAB).perform()
            focused = self.driver.switch_to.active_element
            if self.driver.execute_script("return arguments[0].matches(arguments[1])", focused, selector):
                return focused
        raise AssertionError(f"{selector} cannot be reached by the keyboard on {self.driver.current_url}")

    def keys(self, *keys: str) -> None:
        """Type into whatever has the focus."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()
