"""A browser's side of the portal's page, without a browser: what it sends, and what it hears."""

from __future__ import annotations

import json
import re
from types import TracebackType
from typing import Any

import requests

from freepbx_bx24.sandbox.portal.page import Page

SECONDS = 20


class Changes:
    """One open stream of changes; a context manager."""

    def __init__(self, address: str, version: str = "") -> None:
        headers = {"Last-Event-ID": version} if version else {}
        self.answer = requests.get(f"{address}changes", headers=headers, stream=True, timeout=SECONDS)
        assert self.answer.status_code == 200, self.answer.text
        self._lines = self.answer.iter_lines()
        self.version = version

    def next(self) -> dict[str, Any]:
        """The next change that is told."""
        found: dict[str, Any] = {}
        for line in self._lines:
            name, _, value = line.decode("ascii").partition(": ")
            if name == "id":
                self.version = value
            elif name == "data":
                found = json.loads(value)
            elif not line and found:
                return found
        raise AssertionError("the stream has ended")

    def until(self, key: str) -> Any:
        """The item `key` as soon as it is told."""
        while True:
            items = self.next()["items"]
            if key in items:
                return items[key]

    def __enter__(self) -> Changes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answer.close()


class Browser:
    """Asks as the page's own program does; `headers` replace those that it would send."""

    def __init__(self, page: Page) -> None:
        self.address = page.url
        self.page_text = requests.get(self.address, timeout=SECONDS).text
        found = re.search('name="action-token" content="([^"]+)"', self.page_text)
        assert found, self.page_text
        self.token = found[1]

    def act(self, path: str, given: dict[str, Any], **headers: str | None) -> requests.Response:
        sent: dict[str, str | None] = {
            "Origin": self.address.rstrip("/"),
            "X-Action-Token": self.token,
            "Content-Type": "application/json",
        }
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        kept = {name: value for name, value in sent.items() if value is not None}
        return requests.post(self.address + path, data=json.dumps(given), headers=kept, timeout=SECONDS)

    def changes(self, version: str = "") -> Changes:
        return Changes(self.address, version)
