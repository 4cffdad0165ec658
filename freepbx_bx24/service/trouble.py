"""A trouble in the log: said when it begins, when it changes and when it is over, and not at every try."""

from __future__ import annotations

import logging


class Trouble:
    """Used by one thread. :param over: what is said when it has passed."""

    def __init__(self, log: logging.Logger, over: str) -> None:
        self._log, self._over = log, over
        self._said = ""

    def say(self, trouble: str) -> None:
        """What is wrong now; empty where nothing is."""
        if trouble and trouble != self._said:
            self._log.warning("%s", trouble)
        elif self._said and not trouble:
            self._log.info("%s", self._over)
        self._said = trouble
