"""A sandbox portal in a process of its own that breaks the contract on purpose: `python -m ... DEVIATION...`."""

from __future__ import annotations

import sys
from typing import Callable

from freepbx_bx24.sandbox.portal import Portal, Reply

ALWAYS = 1_000_000  # times


def _applications_only(portal: Portal) -> None:
    portal.switches.webhook_allowed_for_register = False


def _documented_error_code(portal: Portal) -> None:
    portal.switches.empty_error_code = False


def _line_id_is_a_number(portal: Portal) -> None:
    def alter(reply: Reply) -> Reply:
        if "result" in reply.body:
            reply.body["result"]["ID"] = int(reply.body["result"]["ID"])
        return reply

    portal.scripted_replies.add("telephony.externalLine.update", alter, times=ALWAYS)


def _show_tells_the_keys(portal: Portal) -> None:
    def alter(reply: Reply) -> Reply:
        reply.body["result"] = f"{portal.webhook_url} {portal.access_token}"
        return reply

    portal.scripted_replies.add("telephony.externalCall.show", alter, times=ALWAYS)


def _upload_has_another_field(portal: Portal) -> None:
    def alter(reply: Reply) -> Reply:
        if "uploadUrl" in reply.body.get("result", {}):
            reply.body["result"]["fieldName"] = "upload"
        return reply

    portal.scripted_replies.add("telephony.externalCall.attachRecord", alter, times=ALWAYS)


def _batch_is_dropped(portal: Portal) -> None:
    def drop(reply: Reply) -> Reply:
        raise ConnectionResetError

    portal.scripted_replies.add("batch", drop, times=ALWAYS)


DEVIATIONS: dict[str, Callable[[Portal], None]] = {
    "applications-only": _applications_only,
    "documented-error-code": _documented_error_code,
    "line-id-is-a-number": _line_id_is_a_number,
    "show-tells-the-keys": _show_tells_the_keys,
    "upload-has-another-field": _upload_has_another_field,
    "batch-is-dropped": _batch_is_dropped,
}


def main() -> None:
    """Serve until the standard input is closed; without DEVIATION it is an ordinary portal."""
    with Portal() as portal:
        for name in sys.argv[1:]:
            DEVIATIONS[name](portal)
        print(f"Portal: {portal.url}\nWebhook: {portal.webhook_url}\nToken: {portal.access_token}")
        print(f"Ledger: {portal.ledger_url}\nClose the standard input to stop.", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
