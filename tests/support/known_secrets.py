"""The secrets that a test run knows of, and the search for them: one pass over the text, however many they are.

A session makes thousands of them, so that looking for each in turn is out of the question. Nearly all are letters and
digits: each run of those in the text is tried at every place, by the first eight characters, in a dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from urllib.parse import quote

SHORTEST = 8  # what is shorter is found in harmless text too, and is no secret that a portal would make
_RUN = re.compile(rb"[0-9A-Za-z]{%d,}" % SHORTEST)


class KnownSecrets:
    """Secrets by their kind. Safe to add to from other threads while it searches."""

    def __init__(self) -> None:
        self._by_head: dict[bytes, tuple[tuple[bytes, str], ...]] = {}
        self._others: dict[bytes, str] = {}  # those with other characters, in each form that they may be written in
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, kind: str, secret: str) -> None:
        """Search for `secret` from now on; one of fewer than `SHORTEST` characters is not searched for."""
        if len(secret) < SHORTEST or secret in self._known:
            return
        plain = secret.encode()
        if _RUN.fullmatch(plain):
            head = plain[:SHORTEST]
            self._by_head[head] = (*self._by_head.get(head, ()), (plain, kind))
        else:
            for form in (secret, quote(secret), quote(secret, safe="")):
                self._others[form.encode()] = kind
        self._known.add(secret)

    def kinds_in(self, data: bytes) -> AbstractSet[str]:
        """The kinds of secrets that stand in `data`, also URL-encoded or inside a longer word."""
        found = {kind for form, kind in list(self._others.items()) if form in data}
        by_head = self._by_head
        for run in set(_RUN.findall(data)):
            for at in range(len(run) - SHORTEST + 1):
                for secret, kind in by_head.get(run[at : at + SHORTEST], ()):
                    if run.startswith(secret, at):
                        found.add(kind)
        return found
