"""The log file: one line an event, nothing in it that a terminal or a reader of logs could trip over."""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
TIME = "%Y-%m-%d %H:%M:%S%z"
PATH = "/var/log/asterisk/freepbx_bx24.log"

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_NUMBER = re.compile(r"(?<![0-9A-Za-z.])(\+?[0-9]{3})[0-9]{3,12}([0-9]{2})(?![0-9A-Za-z.])")


class _Harmless(logging.Formatter):
    """Control characters out; telephone numbers masked where the admin wants that."""

    def __init__(self, mask_numbers: bool, form: str = FORMAT) -> None:
        super().__init__(form, TIME)
        self.mask_numbers = mask_numbers

    def format(self, record: logging.LogRecord) -> str:
        text = _CONTROL.sub("?", super().format(record)).replace("\n", "\n    ")
        return _NUMBER.sub(r"\1...\2", text) if self.mask_numbers else text


def short_form(mask_numbers: bool) -> logging.Formatter:
    """The words of a line alone, as harmless as in the log."""
    return _Harmless(mask_numbers, "%(message)s")


def log_to_file(path: str = "", mask_numbers: bool = False, terminal: bool = False) -> None:
    """Send what is logged to the file (reopened after logrotate moved it), and to the terminal where asked to.

    A file that can't be written is said on the terminal, once: the calls go on without it.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if terminal else []
    try:
        handlers.append(logging.handlers.WatchedFileHandler(path or PATH, encoding="utf-8", errors="backslashreplace"))
    except OSError as error:
        sys.stderr.write(f"the log {path or PATH} can't be written: {error.strerror}\n")
    root = logging.getLogger("bx24")
    replaced, root.handlers = root.handlers, handlers
    root.setLevel(logging.INFO)
    root.propagate = False
    for handler in handlers:
        handler.setFormatter(_Harmless(mask_numbers))
    for handler in replaced:
        handler.close()
    logging.raiseExceptions = False
