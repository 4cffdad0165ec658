"""The sandbox portal in a process of its own, so that measuring and answering don't share an interpreter."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from typing import Any, Mapping, Sequence

from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.portal.world import Entity
from tests.support.agi_script import REPOSITORY

MODULE = "tests.bench.portal_process"
OPERATING_SECONDS = 480.0  # of a method in ten minutes, on a cloud portal (bitrix24-telephony, 4)


class PortalProcess:
    """A portal on a free port; as much of Portal's interface as a measurement needs.

    :param delays: seconds before a method is worked on, by its name in lower case; a batch is `batch`.
    :param plan: the portal's bucket of requests and operating time, None: no limits.
    :param tls: whether it speaks HTTPS. :param clients: numbers of contacts in its CRM.
    """

    def __init__(
        self,
        delays: Mapping[str, float] | None = None,
        plan: str = "",
        tls: bool = False,
        clients: Sequence[str] = (),
    ) -> None:
        self.options = {"delays": dict(delays or {}), "plan": plan, "tls": tls, "clients": list(clients)}
        self.webhook_url = self.ledger_url = self.ca_bundle = ""
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> PortalProcess:
        """Start, and read where it is from what it prints."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, json.dumps(self.options)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        said = json.loads(self.process.stdout.readline())
        self.webhook_url, self.ledger_url, self.ca_bundle = said["webhook"], said["ledger"], said["ca_bundle"]
        return self

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def __enter__(self) -> PortalProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ledger(self) -> dict[str, Any]:
        """What the CRM would show. :raises OSError: it does not answer. A portal with TLS is not asked."""
        with urllib.request.urlopen(self.ledger_url, timeout=60) as reply:
            ledger: dict[str, Any] = json.load(reply)
        return ledger


def main(options: Mapping[str, Any]) -> None:
    """Serve until SIGTERM, or until whoever started it has gone."""
    with Portal(tls=options["tls"]) as portal:
        portal.delay_seconds.update(options["delays"])
        for at, number in enumerate(options["clients"], 1000):
            portal.world.entities.append(Entity("CONTACT", at, "A client", [number]))
        if options["plan"]:
            portal.switches.plan = options["plan"]
            portal.switches.operating_limit_seconds = OPERATING_SECONDS
        bundle = str(portal.ca_bundle) if options["tls"] else ""
        print(json.dumps({"webhook": portal.webhook_url, "ledger": portal.ledger_url, "ca_bundle": bundle}), flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        sys.stdin.read()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
