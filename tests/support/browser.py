"""Debian's Chromium without a screen, driven as a person would: by what is written on the page, clicks and keys."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Iterator

from selenium import webdriver
from selenium.webdriver.chrome.webdriver import WebDriver

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
# Without a sandbox of its own, since tests run as root; nothing is asked of anybody but the page.
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--mute-audio",
    "--window-size=1440,1080",
)


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[WebDriver]:
    """A browser with an empty profile; its log of the console is kept."""
    options = webdriver.ChromeOptions()
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()
