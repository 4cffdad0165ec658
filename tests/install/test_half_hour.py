"""An admin's half hour on both machines: install, a mistake, calls, an upgrade, an outage, removal; nothing is left."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

from freepbx_bx24.sandbox.let_in import log_in
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.product import Product
from tests.install.pbx_machine import PIP_CACHE, REPOSITORY, SOURCE, Machine, differences
from tests.support.running_service import wait_until

TRANSCRIPT = Path(__file__).with_name("half_hour.txt")
# What apt-get and dpkg write about every package that has come and gone.
APTS_OWN = ("/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt", "/var/cache/debconf", "/var/log")
# Other programs are a matter of test_install.py: making them takes long.
OLDER = "sed -i '1a ; the previous version' etc/extensions_bx24.conf"
CLIENT = "+79161234567"


class Step(NamedTuple):
    """A command (or, with an `@`, something that happens) and what is expected of it."""

    line: int
    command: str
    typed: str
    code: int
    said: list[str]
    unsaid: list[str]


def read_steps(text: str) -> Iterator[Step]:
    step: Step | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        mark, _, rest = line.partition(" ")
        if mark in ("$", "@"):
            if step:
                yield step
            step = Step(number, rest if mark == "$" else line, "", 0, [], [])
        elif step is None:
            raise ValueError(f"line {number} stands before any command")
        elif mark == "<":
            step = step._replace(typed=f"{step.typed}{rest}\n")
        elif mark == "=":
            step = step._replace(code=int(rest))
        else:
            (step.unsaid if mark == "!" else step.said).append(rest if mark == "!" else line)
    if step:
        yield step


class Admin:
    """Plays the transcript.

    :ivar story: everything that was typed and said so far, for the message of a failure.
    """

    def __init__(self, machine: Machine, portal: Portal) -> None:
        self.machine = machine
        self.portal = portal
        self.product = Product(machine.pbx, portal, REPOSITORY)
        self.story = ""
        self.happenings: dict[str, Callable[[], None]] = {
            "the previous version is fetched": lambda: self._fetch(OLDER),
            "the new version is fetched": lambda: self._fetch("true"),
            "the service is started": self._start,
            "the portal knows all about both calls": lambda: self._told(2),
            "the portal knows all about the call": lambda: self._told(1),
            "the service is restarted": lambda: (self.product.stop(), self._start())[1],
            "a client calls and is answered": self._call,
            "the administrator types bx24 login, and agrees in the browser": lambda: log_in(machine.root),
            "the portal is down": self.portal.stop,
            "the portal is back": self._portal_back,
            "the packages go as it was told": self._purge_packages,
        }

    def _fetch(self, change: str) -> None:
        self.machine.copy_source()
        self.machine.shell(
            f"cd {SOURCE} && sed -i 's/^owed_patience=.*/owed_patience=3/' etc/install/owed.sh && {change}"
        )

    def _start(self) -> None:
        self.product.start("--supervised", BX24_TEST_TIME_SCALE="0.05")

    def _call(self) -> None:
        call = self.machine.pbx.trunk.call(did="74957770101", number=CLIENT, talk=1.2)
        assert call.wait().final_status == 200
        self.machine.pbx.settle()

    def _told(self, calls: int) -> None:
        def finished() -> bool:
            theirs = [call for call in self.portal.ledger()["calls"] if call["PHONE_NUMBER"] == CLIENT]
            return [call["state"] for call in theirs] == ["finished"] * calls

        wait_until(finished, 20, lambda: str(self.portal.ledger()["calls"]) + self.product.log()[-3000:])

    def _portal_back(self) -> None:
        self.portal.start()

    def _purge_packages(self) -> None:
        told = re.search(r"to remove them: (apt-get purge [a-z0-9 .+-]+)$", self.story, re.MULTILINE)
        if told:
            self.machine.shell(f"DEBIAN_FRONTEND=noninteractive {told[1]} --yes")

    def _filled(self, text: str) -> str:
        """With what only this run knows in place of its names."""
        application, webhook = self.portal.application, self.portal.webhook_url
        values = {"webhook": webhook, "secret": webhook.split("/")[-2], "url": self.portal.url}
        values |= {"client": application.client_id, "client secret": application.client_secret}
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def play(self, step: Step) -> None:
        if step.command.startswith("@ "):
            self.story += f"{step.command}\n"
            self.happenings[step.command[2:]]()
            return
        command = self._filled(step.command)
        done = self.machine.root.run(
            ["bash", "-c", f"cd {SOURCE} && {command}"],
            check=False,
            timeout=300,
            env={"PIP_CACHE_DIR": PIP_CACHE, "BX24_TEST_PROGRAMS": "kept"},
            input=self._filled(step.typed),
        )
        said = done.stdout + done.stderr
        self.story += f"$ {step.command}\n{said}"
        where = f"{TRANSCRIPT.name}, line {step.line}\n{self.story}"
        assert done.returncode == step.code, f"exit code {done.returncode}: {where}"
        at = 0
        for line in step.said:
            pattern = ".*".join(re.escape(self._filled(part)) for part in line.split("..."))
            found = re.compile(pattern).search(said, at)
            assert found, f"it did not say {line!r}: {where}"
            at = found.end()
        for line in step.unsaid:
            assert self._filled(line) not in said, f"it said {line!r}: {where}"


def test_an_admins_half_hour_leaves_the_machine_as_it_was(machine: Machine) -> None:
    machine.removed()
    before = machine.tree()
    with Portal() as portal:
        admin = Admin(machine, portal)
        try:
            for step in read_steps(TRANSCRIPT.read_text(encoding="utf-8")):
                admin.play(step)
        finally:
            admin.product.stop()
            machine.copy_source()
    changed = differences(before, machine.tree())
    assert not {path for path in changed if not path.startswith(APTS_OWN)}, changed
