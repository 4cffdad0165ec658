"""A PBX with the product in it and a portal beside it: what every live test works with."""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Sequence

from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.product import LOG, YAML, Product
from tests.support import secret_sweep
from tests.support.running_service import wait_until

REPOSITORY = Path(__file__).parents[2]
WEBHOOK = "/etc/freepbx_bx24.webhook"
AGI_BIN = "/usr/share/asterisk/agi-bin"
ASTERISK_LOG = "/var/log/asterisk/full"
# What the product, Asterisk and install.sh leave behind, where no secret may be.
LEFT_BEHIND = ("/var/log/asterisk", "/var/log/freepbx-bx24-install.log", "/var/lib/freepbx-bx24", "/etc/asterisk")
SERVICE_SECONDS = 1.0  # an added wait that a caller does not notice; what the budget allows is more
SCALE = "0.05"

BARE_SCRIPT = """#!/usr/bin/python3 -IS
import sys
while sys.stdin.readline().strip():
    pass
sys.stdout.write("SET VARIABLE BARE 1\\n")
sys.stdout.flush()
sys.stdin.readline()
"""
# Dialplan of the tests' own, in the file that belongs to the admin: one AGI run, timed by Asterisk in microseconds.
TIMED = """
[time-agi]
exten => bare,1,Set(BEFORE=${STRFTIME(,,%s%6q)})
 same => n,AGI(bare.py)
 same => n,Log(NOTICE,timed bare ${BEFORE} ${STRFTIME(,,%s%6q)} none)
 same => n,Hangup()
exten => _register-.,1,Set(CALLERID(num)=+7903${EXTEN:9})
 same => n,Set(BEFORE=${STRFTIME(,,%s%6q)})
 same => n,AGI(bx24_register.py,in,74957770101)
 same => n,Log(NOTICE,timed ${EXTEN} ${BEFORE} ${STRFTIME(,,%s%6q)} ${BX24_STATUS})
 same => n,Hangup()

[from-pstn-custom]
exten => 74957770160,1,Log(NOTICE,hostile pwned=${PWNED} status=${BX24_STATUS})
 same => n,Set(CALLERID(name)=looked at)
 same => n,Goto(ext-did,74957770160,1)

[hostile-name]
exten => s,1,Set(CALLERID(num)=+79161110190)
 same => n,Set(CALLERID(name)=${URIDECODE(%22%0aSET VARIABLE PWNED 1%0a%0a200 result=1 (x)%0a)})
 same => n,Goto(from-pstn,74957770160,1)
"""


class World:
    """One PBX with the product installed by its own install.sh, one portal, and ways to look at what happened."""

    def __init__(self, suite: str, portal: Portal | None = None) -> None:
        self.suite = suite
        self.portal = portal or Portal()
        self.pbx = SandboxPbx(suite)
        self.product = Product(self.pbx, self.portal, REPOSITORY)
        self.numbers = 0

    def start(self) -> None:
        self.portal.start()
        self.pbx.start()
        self.install_printed = self.product.install()
        self.product.configure()
        root = self.pbx.root
        with root.outside("/etc/asterisk/extensions_custom.conf").open("a") as file:
            file.write(TIMED)
        script = root.outside(f"{AGI_BIN}/bare.py")
        script.write_text(BARE_SCRIPT)
        script.chmod(0o755)
        self.pbx.asterisk.reload_dialplan()

    def stop(self) -> None:
        self.product.stop()
        self.search_for_secrets()
        self.pbx.stop()
        self.portal.stop()

    def search_for_secrets(self) -> None:
        """Hand what this world has written to the search for secrets."""
        for place in (*LEFT_BEHIND, YAML):
            secret_sweep.look_below(f"{place} ({self.suite})", self.pbx.root.outside(place))

    # -- the service ----------------------------------------------------------------------------------------------

    def serve(self, scale: str = SCALE, supervised: bool = False) -> None:
        """The service with settings as installed; its retries and time-outs hurried, unless `scale` is "1"."""
        self.product.start(*["--supervised"] * supervised, BX24_TEST_TIME_SCALE=scale)

    @contextmanager
    def served(self, scale: str = SCALE, supervised: bool = False) -> Iterator[World]:
        """The service for the length of a test."""
        self.serve(scale, supervised)
        try:
            yield self
        finally:
            self.product.stop()

    @property
    def service_pid(self) -> int:
        assert self.product.service and self.product.service.inner_pid
        return self.product.service.inner_pid

    def point_to(self, url: str) -> None:
        """Let the product's webhook file name another portal, from the next start on."""
        self.pbx.root.outside(WEBHOOK).write_text(url + "\n")

    @contextmanager
    def pointed_to(self, url: str) -> Iterator[None]:
        self.point_to(url)
        try:
            yield
        finally:
            self.point_to(self.portal.webhook_url)

    @contextmanager
    def yaml(self, text: str | None) -> Iterator[None]:
        """Another YAML, or none at all, for the length of a test."""
        path = self.pbx.root.outside(YAML)
        kept = path.read_bytes()
        if text is None:
            path.rename(path.with_suffix(".away"))
        else:
            path.write_text(text)
        try:
            yield
        finally:
            path.with_suffix(".away").unlink(missing_ok=True)
            path.write_bytes(kept)
            self.pbx.root.run(["sh", "-c", f"chown root:asterisk {YAML} && chmod 0640 {YAML}"])

    # -- calls ----------------------------------------------------------------------------------------------------

    def new_number(self) -> str:
        """A client's number that nobody else in this run uses."""
        self.numbers += 1
        return f"+7926{self.numbers:07d}"

    def crm_calls(self, number: str) -> list[dict[str, Any]]:
        """What the CRM has of a client's number."""
        return [call for call in self.portal.ledger()["calls"] if call["PHONE_NUMBER"] == number]

    def finished(self, number: str, seconds: float = 20.0) -> dict[str, Any]:
        """The one call of a number, once the CRM has its end; asserts that there is exactly one."""
        wait_until(lambda: any(call["state"] == "finished" for call in self.crm_calls(number)), seconds, self.explain)
        calls = self.crm_calls(number)
        assert len(calls) == 1, calls
        return calls[0]

    def wait_for_register(self, number: str) -> None:
        """Until the portal has got, and perhaps holds, the register of a number: others may be delivered late."""
        wait_until(
            lambda: any(one["parameters"].get("PHONE_NUMBER") == number for one in self.portal.ledger()["requests"]),
            10,
            self.explain,
        )

    def originate(self, extension: str, context: str) -> None:
        """Start a channel in the tests' own dialplan."""
        self.pbx.asterisk.rx(f"channel originate Local/{extension}@{context} application Wait 20")

    def time_agi(self, extension: str, seconds: float = 15.0) -> tuple[float, str]:
        """Run one timed AGI; returns (seconds as Asterisk saw it, BX24_STATUS)."""
        name = extension
        if extension == "register":
            self.numbers += 1
            name = f"register-{self.numbers:07d}"
        mark = self.pbx.root.outside(ASTERISK_LOG).stat().st_size
        self.originate(name, "time-agi")
        line = re.compile(rf"NOTICE.*timed {name} (\d+) (\d+) (\w*)\n")
        wait_until(lambda: bool(line.search(self.asterisk_log(mark))), seconds, self.explain)
        found = line.findall(self.asterisk_log(mark))[-1]
        return (int(found[1]) - int(found[0])) / 1e6, found[2]

    def drop_parked(self) -> None:
        """Give up what tests of refusals have left for a person."""
        listed = json.loads(self.pbx.root.run(["bx24", "outbox", "list", "--json"]).stdout)["items"]
        parked = [str(item["id"]) for item in listed if item["state"] == "parked"]
        if parked:
            self.pbx.root.run(["bx24", "outbox", "drop", *parked])

    # -- looking --------------------------------------------------------------------------------------------------

    def asterisk_log(self, mark: int = 0) -> str:
        """Asterisk's full log, from a byte on."""
        with self.pbx.root.outside(ASTERISK_LOG).open("rb") as file:
            file.seek(mark)
            return file.read().decode("utf-8", "replace")

    def asterisk_log_mark(self) -> int:
        """Where Asterisk's log ends now."""
        return self.pbx.root.outside(ASTERISK_LOG).stat().st_size

    def log(self) -> str:
        return self.product.log()

    def log_since(self, mark: int) -> str:
        return self.log()[mark:]

    def log_mark(self) -> int:
        return len(self.log())

    def wait_watched(self, mark: int) -> None:
        """Until the service has said since then that it watches Asterisk's calls."""
        wait_until(lambda: "Asterisk's calls are watched" in self.log_since(mark), 15, self.explain)

    def explain(self) -> str:
        return f"product:\n{self.log()[-4000:]}\nAsterisk:\n{self.pbx.asterisk.log_tail(40)}"


def p95(values: Sequence[float]) -> float:
    """The value below which 95 of 100 lie."""
    return sorted(values)[min(int(len(values) * 0.95), len(values) - 1)]


def hang_up_all(world: World) -> None:
    """End every call that somebody has left up, and wait until none is left in Asterisk."""
    for call in [*world.pbx.trunk.calls, *(call for phone in world.pbx.phones for call in phone.calls)]:
        if not call.record.ended_how:
            call.hang_up()
    wait_quiet(world)


def wait_quiet(world: World, seconds: float = 10.0) -> None:
    """Wait until no channel is left in Asterisk."""
    deadline = time.monotonic() + seconds
    while world.pbx.asterisk.channels() and time.monotonic() < deadline:
        time.sleep(0.1)


__all__ = ["LOG", "World", "hang_up_all", "p95", "wait_quiet"]
