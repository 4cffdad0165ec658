"""The demo: a real Asterisk, the product installed into it, five real calls, and what the CRM got of them."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Sequence

from ..errors import Bx24Error, SandboxError
from . import let_in
from .pbx import harness, roots
from .pbx.calls import Call
from .pbx.record import Behaviour, answer, busy, ring
from .portal import Portal
from .portal.page.reach import started_page, ways_in
from .product import SOURCE, YAML, Product

REPOSITORY = Path(__file__).parents[2]
CLIENT = "+74951234567"  # Anna Petrova, a contact of the sandbox portal
STRANGER = "+79031112233"
SETTLED_SECONDS = 20.0
PORT = 8024
# For the page: what is clicked there is dialled, a callback form rings 101, and every call is recorded.
ON_THE_PAGE = """
clicks: {enabled: yes}
callbacks: {target: 101}
line_defaults: {recordings: answered}
recordings: {min_seconds: 0}
"""
INSTALL_SECONDS = 300.0


@dataclass
class DemoCall:
    """One call of the demo: how it is placed, how the other side takes it, and what came of it."""

    title: str
    number: str
    place: Callable[[harness.SandboxPbx], Call]
    phone: str = "101"
    behaviour: Behaviour | None = None
    talked: float = 0.0


def demo_calls() -> list[DemoCall]:
    """The five calls, each with its own extension and line."""
    return [
        DemoCall(
            "inbound, answered",
            CLIENT,
            lambda pbx: pbx.trunk.call("74957770101", CLIENT, "Anna", talk=3.0, sound=True),
            behaviour=answer(1.0, sound=True),
        ),
        DemoCall(
            "inbound, missed",
            "+79161110001",
            lambda pbx: pbx.trunk.call("74957770102", "+79161110001", give_up_after=3.0),
            "102",
            ring(),
        ),
        DemoCall(
            "inbound, busy", "+79161110002", lambda pbx: pbx.trunk.call("74957770103", "+79161110002"), "103", busy(0.5)
        ),
        DemoCall(
            "caller gave up at once",
            "+79161110003",
            lambda pbx: pbx.trunk.call("74957770104", "+79161110003", give_up_after=0.05),
            "104",
            ring(),
        ),
        DemoCall(
            "outbound, answered",
            STRANGER,
            lambda pbx: pbx.phone(105).call("8" + STRANGER[2:], talk=2.0, sound=True),
            "105",
        ),
    ]


COLUMNS = (
    ("call", 22),
    ("direction", 9),
    ("number", 13),
    ("line", 13),
    ("person", 18),
    ("CRM s", 5),
    ("phones s", 8),
    ("code", 5),
    ("CRM entity", 12),
)


def row(values: Sequence[object]) -> str:
    """One line of the table."""
    return "  ".join(f"{value!s:<{width}}" for value, (_, width) in zip(values, COLUMNS)).rstrip()


def shown(call: dict[str, Any], title: str, talked: float, portal: Portal) -> str:
    """A call as the portal's ledger has it, beside what the SIP endpoint saw."""
    person = portal.world.employee(call["finished_by"])
    who = f"{person.extension or '-'} {person.name} {person.last_name}" if person else "nobody"
    entity = f"{call['CRM_ENTITY_TYPE']} {call['CRM_ENTITY_ID']}" if call["CRM_ENTITY_TYPE"] else "none"
    seconds = call["CALL_DURATION"]
    return row(
        (
            title,
            call["direction"],
            call["PHONE_NUMBER"],
            call["LINE_NUMBER"],
            who,
            seconds,
            f"{talked:.1f}",
            call["STATUS_CODE"],
            entity,
        )
    )


def say(text: str) -> None:
    """Print at once: a person watches."""
    print(text, flush=True)


def refuse_beside_asterisk() -> None:
    """The demo brings its own Asterisk: beside a running one it could be taken for a test of that.

    :raises SandboxError: where one runs.
    """
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            # Those with a root of their own are sandboxes.
            if (process / "comm").read_text().strip() == "asterisk" and (process / "root").readlink() == Path("/"):
                raise SandboxError(
                    "an Asterisk runs on this machine",
                    "Run the demo on another one; to install the product here: ./install.sh",
                )


def place_calls(pbx: harness.SandboxPbx, portal: Portal) -> bool:
    """Place all five at once, print each as the CRM got it; True where the CRM has what the phones saw."""
    calls = demo_calls()
    pbx.trunk.on_number(STRANGER, answer(1.0, sound=True))
    for one in calls:
        if one.behaviour is not None:
            pbx.phone(one.phone).behaviour = one.behaviour
    placed = [(one, one.place(pbx)) for one in calls]
    for one, call in placed:
        one.talked = call.wait(30).talk_seconds
    waited = threading.Event()
    for _ in range(int(SETTLED_SECONDS / 0.1)):
        if sum(call["state"] == "finished" for call in portal.ledger()["calls"]) == len(calls):
            break
        waited.wait(0.1)
    say("")
    say(row([name for name, _ in COLUMNS]))
    right = True
    for one in calls:
        found = [call for call in portal.ledger()["calls"] if call["PHONE_NUMBER"] == one.number]
        for call in found:
            say(shown(call, one.title, one.talked, portal))
        seconds = found[0]["CALL_DURATION"] if found and found[0]["state"] == "finished" else None
        if len(found) != 1 or seconds is None or abs(seconds - one.talked) > 1:
            right = False
            say(f"  NOT as the phones saw it: {one.title}: {len(found)} calls in the CRM, {seconds} s")
    return right


def started_portal(port: int) -> Portal:
    """The portal on its usual port, or on a free one where that is taken."""
    try:
        return Portal(port=port).start()
    except OSError:
        return Portal().start()


def run(once: bool, listen: str = "") -> int:
    """Set up, place the calls, and stay until Ctrl-C unless `once`; 0 where the CRM has what the phones saw."""
    refuse_beside_asterisk()
    portal = started_portal(PORT)
    try:
        say(f"Portal:   {portal.url}  (ledger: {portal.ledger_url})")
        say("Asterisk: making a private Debian with Asterisk 22 in it (about two minutes the first time)")
        with harness.SandboxPbx("forky", record=not once) as pbx:
            if once:
                return 0 if show(pbx, portal) else 1
            with started_page(portal, listen) as page:
                right = show(pbx, portal, clicks=True)
                answer_people(pbx)
                say(
                    "\n"
                    + "\n".join(("The page, to see, click and break it:", *(f"  {line}" for line in ways_in(page))))
                )
                say("It stays up until Ctrl-C; `sudo ./install.sh --demo --remove` undoes everything.")
                try:
                    threading.Event().wait()
                except KeyboardInterrupt:
                    return 0 if right else 1
    finally:
        portal.stop()
    return 0


def answer_people(pbx: harness.SandboxPbx) -> None:
    """From now on everybody takes calls: our people after a moment, clients later, who then talk for a while."""
    for phone in pbx.phones:
        phone.behaviour = answer(2.0, sound=True)
    pbx.trunk.on_number(STRANGER, answer(3.0, talk=15.0, sound=True))
    pbx.trunk.behaviour = answer(3.0, talk=15.0, sound=True)


def show(pbx: harness.SandboxPbx, portal: Portal, clicks: bool = False) -> bool:
    """Install the product into the running PBX and place the calls; True where the CRM has what the phones saw.

    :param clicks: with what the page offers: an application instead of a webhook, since only those hear of clicks.
    """
    version = pbx.asterisk.rx("core show version").split(" built")[0]
    say(f"          {version} runs, with SIP trunks and phones on loopback")
    say("Product:  install.sh, as an admin runs it")
    product = Product(pbx, portal, REPOSITORY)
    product.install()
    product.configure()
    if clicks:
        take_clicks(product)
    product.start()
    say("          the service answers; placing five calls")
    right = place_calls(pbx, portal)
    say("\nThe CRM has what the phones saw." if right else "\nThe CRM does not have what the phones saw:")
    if not right:
        say(product.log()[-4000:])
    return right


def take_clicks(product: Product) -> None:
    """Let it into the portal as an application that may dial; install.sh is run once more for its manager user."""
    root = product.pbx.root
    path = root.outside(YAML)
    text = let_in.named_in(path.read_text(encoding="utf-8"), root, product.portal)
    path.write_text(text + ON_THE_PAGE, encoding="utf-8")
    let_in.log_in(root)
    root.run([f"{SOURCE}/install.sh"], timeout=INSTALL_SECONDS)


def remove() -> int:
    """Undo everything that a demo left on this machine, also one that was killed; install.sh removes what it set up."""
    removed = list(harness.remove_leftovers())
    for suite in roots.SUITES:
        if (roots.CACHE / suite).exists():
            roots.delete(roots.CACHE / suite)
            removed.append(roots.CACHE / suite)
        for mark in (f"{suite}.finished", f"{suite}.lock"):
            (roots.CACHE / mark).unlink(missing_ok=True)
    if harness.WORK.exists() and not any(harness.WORK.iterdir()):
        harness.WORK.rmdir()
        removed.append(harness.WORK)
    say("\n".join(f"removed {path}" for path in removed) or "no sandbox was left")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """`--once`: end after the table; `--remove`: undo everything; `--listen`: show the page to other machines, too."""
    parser = argparse.ArgumentParser(prog="install.sh --demo", description="Real calls into a sandbox CRM.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--once", action="store_true", help="end after the table")
    choice.add_argument("--remove", action="store_true", help="undo everything that a demo left behind")
    parser.add_argument("--listen", metavar="ADDRESS", default="", help="show the page to other machines, too")
    options = parser.parse_args(arguments)
    try:
        return remove() if options.remove else run(options.once, options.listen)
    except KeyboardInterrupt:
        return 0
    except Bx24Error as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
