"""Where a renamed portal has gone: remembered on disk, so that no caller pays for the way round again."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

from .replies import harmless
from .transport import origin_of, split

LOG = logging.getLogger("bx24.portal")
FILE = "moved.json"
_MOST = 20  # renamings that are remembered; no portal has had more


class Moves:
    """Old origin -> new origin, of `https://HOST[:PORT]` each. Safe to use from every thread.

    :param place: the file, or None to remember for the life of this process only.
    """

    def __init__(self, place: Path | None = None) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._known = _read(place) if place else {}

    def current(self, origin: str) -> str:
        """Return where a portal is now."""
        seen = {origin}
        while origin in self._known and self._known[origin] not in seen:
            origin = self._known[origin]
            seen.add(origin)
        return origin

    def remember(self, old: str, new: str) -> None:
        """A portal that was asked at `old` has answered at `new`. A disk that can't be written is no trouble."""
        with self._lock:
            if self.current(old) == new:
                return
            known = {one: other for one, other in self._known.items() if one != new}  # it may have moved back
            known[old] = new
            self._known = dict(list(known.items())[-_MOST:])
            LOG.warning("the portal was renamed: %s is now %s; write the new address into your settings", old, new)
            if self._place:
                hidden = self._place.with_name("." + self._place.name)
                try:
                    hidden.write_text(json.dumps(self._known), encoding="utf-8")
                    hidden.replace(self._place)
                except OSError as error:
                    LOG.warning("%s can't be written: %s", self._place.name, error.strerror)


def _read(place: Path) -> dict[str, str]:
    """The file's moves; only addresses that could be a portal's, whoever wrote it."""
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(kept, dict):
        return {}
    pairs = {
        old: new
        for old, new in list(kept.items())[:_MOST]
        if isinstance(new, str) and all(one == harmless(one) and origin_of(split(one)) == one for one in (old, new))
    }
    # The secret may go on to a portal of the same kind only.
    return {old: new for old, new in pairs.items() if old.partition(":")[0] == new.partition(":")[0]}
