"""A browser's side of the portal's page, without a browser: what it sends, and what it hears."""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection
from types import TracebackType
from typing import Any

import requests

from freepbx_bx24.sandbox.portal.page import Page

SECONDS = 20


class Changes:
    """One open stream of changes; a context manager."""

    def __init__(self, address: str, version: str = "") -> None:
        # Not requests: it waits until a piece of its own size has come.
        self._connection = HTTPConnection(address.split("/")[2], timeout=SECONDS)
        self._connection.request("GET", "/changes", headers={"Last-Event-ID": version} if version else {})
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.status
        self.version = version

    def next(self) -> dict[str, Any]:
        """The next change that is told."""
        found: dict[str, Any] = {}
        while line := self._answer.readline():
            name, _, value = line.decode("ascii").rstrip("\n").partition(": ")
            if name == "id":
                self.version = value
            elif name == "data":
                found = json.loads(value)
            elif not name and found:
                return found
        raise AssertionError("the stream has ended")

    def close(self) -> None:
        """Leave."""
        self._answer.close()
        self._connection.close()

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
        self.close()


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
