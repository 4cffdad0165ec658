"""Where the secrets of a test run come from, and where its messages do: taps on portals, logs, captures and processes.

The product is as it is: each tap wraps a function for the length of the run, and lets through what went through before.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Dict
from urllib.parse import unquote

import pytest

from freepbx_bx24.sandbox.portal import Portal, records
from freepbx_bx24.sandbox.portal.application import Application
from freepbx_bx24.sandbox.portal.auth import Credentials

WEBHOOK, ACCESS, REFRESH = "webhook secret", "access token", "refresh token"
CODE, CLIENT, UPLOAD = "authorisation code", "client secret", "upload URL"
EVENTS = "application token"  # that the portal signs its events with
# These are heard from the lowest level on, whatever level they are set to; others as they are set.
HEARD_WHOLE = ("bx24", "freepbx_bx24", "urllib3", "werkzeug")

Learn = Callable[[str, str], None]  # (kind, secret)
Hear = Callable[[str, str], None]  # (where, text)


def tap_portals(patch: pytest.MonkeyPatch, learn: Learn, hear: Hear) -> None:
    """Learn each secret that a sandbox portal of this process makes or is given, and hear its ledger when it ends."""

    def keys(kind: str) -> type[dict[Any, Any]]:
        class Telling(Dict[Any, Any]):
            """A dictionary whose keys are secrets. It copies itself as itself: a portal keeps deep copies of it."""

            def __setitem__(self, key: Any, value: Any) -> None:
                learn(kind, key)
                super().__setitem__(key, value)

        return Telling

    class TellingValues(Dict[Any, Any]):
        """The webhooks' secrets, by user."""

        def __setitem__(self, key: Any, value: Any) -> None:
            learn(WEBHOOK, value)
            super().__setitem__(key, value)

    telling = {
        "webhooks": TellingValues,
        "tokens": keys(ACCESS),
        "refresh_tokens": keys(REFRESH),
        "codes": keys(CODE),
    }

    def set_credential(credentials: Credentials, name: str, value: Any) -> None:
        if name in telling:
            given, value = value, telling[name]()
            for key, item in given.items():
                value[key] = item
        object.__setattr__(credentials, name, value)

    def set_of_application(application: Application, name: str, value: Any) -> None:
        if name in ("client_secret", "application_token"):
            learn(CLIENT if name == "client_secret" else EVENTS, value)
        object.__setattr__(application, name, value)

    patch.setattr(Credentials, "__setattr__", set_credential, raising=False)
    patch.setattr(Application, "__setattr__", set_of_application, raising=False)

    make_upload_url = records._upload_url

    def upload_url(*of_call: Any) -> str:
        address = make_upload_url(*of_call)
        learn(UPLOAD, unquote(address).rpartition("|")[2])  # its signature, that nobody else can make
        return address

    patch.setattr(records, "_upload_url", upload_url)

    for name in ("stop", "reset"):  # after each the ledger is out of reach
        patch.setattr(Portal, name, _after_its_ledger(getattr(Portal, name), hear))


def _after_its_ledger(end: Callable[[Portal], None], hear: Hear) -> Callable[[Portal], None]:
    def tapped(portal: Portal) -> None:
        hear("the portal's ledger", json.dumps(portal.ledger()))
        end(portal)

    return tapped


def tap_logs(patch: pytest.MonkeyPatch, hear: Hear) -> None:
    """Hear what is logged: a tap, since handlers and levels are the tests' own, and the product replaces handlers."""
    enabled, handle = logging.Logger.isEnabledFor, logging.Logger.handle
    formatter = logging.Formatter("%(name)s %(message)s")

    def tapped_enabled(logger: logging.Logger, level: int) -> bool:
        return logger.name.partition(".")[0] in HEARD_WHOLE or enabled(logger, level)

    def tapped_handle(logger: logging.Logger, record: logging.LogRecord) -> None:
        if logger.disabled or not logger.filter(record):
            return
        if not record.name.startswith("urllib3") or _the_product_asks():
            hear("the log", formatter.format(record))
        if enabled(logger, record.levelno):
            handle(logger, record)

    patch.setattr(logging.Logger, "isEnabledFor", tapped_enabled)
    patch.setattr(logging.Logger, "handle", tapped_handle)


def _the_product_asks() -> bool:
    """Whether the product is on the stack. Tests ask portals too, and urllib3 logs whole addresses then: not a leak."""
    frame = sys._getframe(2)
    while frame.f_back:
        frame = frame.f_back
        name = frame.f_globals.get("__name__", "")
        if name.startswith("freepbx_bx24.") and not name.startswith("freepbx_bx24.sandbox."):
            return True
    return False


def tap_output(patch: pytest.MonkeyPatch, hear: Hear) -> None:
    """Hear what tests read of captured output (the report has the rest), and what child processes print to them."""
    read_captured, communicate = pytest.CaptureFixture.readouterr, subprocess.Popen.communicate

    def tapped_read(fixture: pytest.CaptureFixture[Any]) -> Any:
        captured = read_captured(fixture)
        for text in captured:
            hear("the captured output", _text(text))
        return captured

    def tapped_communicate(process: subprocess.Popen[Any], *arguments: Any, **named: Any) -> Any:
        output = communicate(process, *arguments, **named)
        for text in output:
            if text:
                hear("a child process's output", _text(text))
        return output

    patch.setattr(pytest.CaptureFixture, "readouterr", tapped_read)
    patch.setattr(subprocess.Popen, "communicate", tapped_communicate)


def _text(output: Any) -> str:
    return output if isinstance(output, str) else bytes(output).decode("latin-1")
