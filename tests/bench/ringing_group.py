"""How many requests the portal gets for real calls that ring three telephones, are answered and recorded."""

from __future__ import annotations

import collections
import contextlib
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Iterator
from urllib.parse import unquote

from freepbx_bx24.sandbox.pbx.record import answer, ring
from freepbx_bx24.sandbox.product import YAML
from tests.live.scenarios.track import TRACKS
from tests.live.world import World
from tests.support.running_service import wait_until

from .figures import Figure
from .portal_process import PortalProcess
from .sizes import Sizes

WISHES = """
recordings: {min_seconds: 0}
line_defaults: {recordings: answered}
"""
RING_SECONDS, TALK_SECONDS = 2.0, 4.0
# By itself such a call is five requests: this is two and a half times what the plan carries in the long run, so that
# requests are scarce, and still nothing is left out. With twice as many calls cards are, which makes the requests fewer
# and the figure worthless.
CALLS_A_SECOND = 1.0
TOLD_SECONDS = 300.0
CARDS = ("telephony.externalcall.show", "telephony.externalcall.hide")
# Not what the service asks for its own sake: the lists of employees and lines.
ASKED = re.compile(r"telephony\.externalcall\.")


def measure(sizes: Sizes) -> list[Figure]:
    """A call a second, in turn on the eight groups of the sandbox, against a portal of the ordinary plan."""
    # Clients of the business: more than thirty callers a minute whom the CRM does not know are a flood, and each is
    # searched for before he is registered.
    numbers = [f"+7926{number:07d}" for number in range(1, sizes.group_calls + 1)]
    world = World("forky", PortalProcess(plan="ordinary", clients=numbers))  # type: ignore[arg-type]
    try:
        world.start()
        with recorded(world):
            place(world, numbers)
            wait_until(lambda: all_is_told(world, numbers), TOLD_SECONDS, world.explain)
        requests = world.portal.ledger()["requests"]
    finally:
        world.stop()
    sent = [request for request in requests if any(map(ASKED.match, commands(request)))]
    said = collections.Counter(
        method for request in sent for text in texts(request) for method in [text.partition("?")[0]] * screens(text)
    )
    print("said of each call: " + ", ".join(f"{method} {count / len(numbers):.2f}" for method, count in said.items()))
    kinds = collections.Counter("+".join(sorted({name.rpartition(".")[2] for name in commands(one)})) for one in sent)
    print("requests of each call: " + ", ".join(f"{kind} {count / len(numbers):.2f}" for kind, count in kinds.items()))
    each = len(sent) / len(numbers)
    return [Figure("requests of a recorded call that rang three telephones", each, said.total() / len(numbers), 1 / 3)]


@contextlib.contextmanager
def recorded(world: World) -> Iterator[None]:
    """Every call from outside is recorded, the first telephone of each group answers, and the service runs."""
    text = world.pbx.root.outside(YAML).read_text(encoding="utf-8")
    for track in range(TRACKS):
        for person in (1, 2, 3):
            world.pbx.phone(f"1{track}{person}").behaviour = answer(RING_SECONDS, sound=True) if person == 1 else ring()
    world.pbx.asterisk.rx("dialplan set global RECORD_CALLS yes")
    mark = world.log_mark()
    with world.yaml(text.replace("plan: self-hosted", "plan: ordinary") + WISHES), world.served("1"):
        world.wait_watched(mark)
        yield


def place(world: World, numbers: list[str]) -> None:
    """A call of each client, each at its moment."""
    began = time.monotonic()

    def play(track: int) -> None:
        for call in range(track, len(numbers), TRACKS):
            time.sleep(max(began + call / CALLS_A_SECOND - time.monotonic(), 0.0))
            world.pbx.trunk.call(f"74957771{track}00", numbers[call], talk=TALK_SECONDS, sound=True).wait(60)

    with ThreadPoolExecutor(TRACKS) as threads:
        list(threads.map(play, range(TRACKS)))


def all_is_told(world: World, numbers: list[str]) -> bool:
    """Whether the CRM has each call's end and recording."""
    calls = {call["PHONE_NUMBER"]: call for call in world.portal.ledger()["calls"]}
    return all(calls[number]["state"] == "finished" and calls[number]["records"] for number in numbers)


def texts(request: dict[str, Any]) -> list[str]:
    """What a request asks for, as `method?parameters` in lower case; of a batch each command."""
    if request["method"] == "batch":
        return [unquote(command).lower() for command in request["parameters"]["cmd"].values()]
    users = request["parameters"].get("USER_ID", [])
    named = [f"user_id[{at}]={user}" for at, user in enumerate(users if isinstance(users, list) else [users])]
    return [f"{request['method'].lower()}?{'&'.join(named)}"]


def commands(request: dict[str, Any]) -> list[str]:
    """The methods of a request, in lower case."""
    return [text.partition("?")[0] for text in texts(request)]


def screens(text: str) -> int:
    """How many things a command says: one for each screen that gets or loses a card, one of anything else."""
    return max(len(re.findall(r"user_id(?:\[|=)", text)), 1) if text.startswith(CARDS) else 1
