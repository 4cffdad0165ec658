"""The added waits of our scripts in a real Asterisk, each beside a bare AGI script in the same Asterisk."""

from __future__ import annotations

import re

from tests.live.world import World
from tests.support.running_service import wait_until

from .figures import Figure, percentile
from .portal_process import PortalProcess
from .sizes import Sizes

REGISTER = "telephony.externalCall.register"
# What runs last of the hangup handlers was pushed first: it sees how long the other took. Then the channel goes.
HANGUP = """
[time-hangup]
exten => _[a-z].,1,Set(CALLERID(num)=+7904${EXTEN:-7})
 same => n,Set(CHANNEL(hangup_handler_push)=time-hangup-over,s,1)
 same => n,Set(CHANNEL(hangup_handler_push)=time-hangup-${CUT(EXTEN,-,1)},s,1)
 same => n,AGI(bx24_register.py,in,74957770101)
 same => n,Set(NAME=${EXTEN})
 same => n,Set(BEFORE=${STRFTIME(,,%s%6q)})
 same => n,Hangup()

[time-hangup-bare]
exten => s,1,AGI(bare.py)
 same => n,Return()

[time-hangup-ours]
exten => s,1,AGI(bx24_finish.py,in)
 same => n,Return()

[time-hangup-over]
exten => s,1,Log(NOTICE,gone ${NAME} ${BEFORE} ${STRFTIME(,,%s%6q)})
 same => n,Return()
"""


def measure(sizes: Sizes) -> list[Figure]:
    """What register adds beyond the portal's own answer time, and what finish adds to the channel's end."""
    # Clients of the business: more than thirty callers a minute whom the CRM does not know are a flood, in which each
    # is searched for before he is registered: two answers of the portal instead of the one that is taken off here.
    clients = [f"+790{prefix}{number:07d}" for prefix in (3, 4) for number in range(4 * sizes.rounds + 10)]
    world = World("forky", PortalProcess(clients=clients))  # type: ignore[arg-type]
    try:
        world.start()
        with world.pbx.root.outside("/etc/asterisk/extensions_custom.conf").open("a") as file:
            file.write(HANGUP)
        world.pbx.asterisk.reload_dialplan()
        with world.served(scale="1"):
            return [*registers(world, sizes.rounds), *hangups(world, sizes.rounds)]
    finally:
        world.stop()


def registers(world: World, rounds: int) -> list[Figure]:
    """Turn by turn with the bare script."""
    bare, ours = [], []
    world.time_agi("register")  # the first opens the connection to the portal
    for _ in range(rounds):
        bare.append(world.time_agi("bare")[0])
        seconds, status = world.time_agi("register")
        assert status == "REGISTERED", world.explain()
        ours.append(seconds - portal_seconds(world))
    return [
        Figure(
            f"added wait of register, {name} ms", 1000 * percentile(ours, share), 1000 * percentile(bare, share), reach
        )
        for name, share, reach in (("p50", 0.5, 1.5), ("p95", 0.95, 2.0))
    ]


def hangups(world: World, rounds: int) -> list[Figure]:
    """Each is a registered call that hangs up: with the bare script for a handler, and with ours."""
    bare = [0.0] * rounds
    ours = [0.0] * rounds
    for number in range(rounds):
        bare[number] = seconds_of_hangup(world, "bare")
        ours[number] = seconds_of_hangup(world, "ours")
    return [
        Figure(
            "hangup handler, until the channel is gone, p50 ms",
            1000 * percentile(ours, 0.5),
            1000 * percentile(bare, 0.5),
            1.5,
        )
    ]


def seconds_of_hangup(world: World, handler: str) -> float:
    """From Hangup() until the handlers have run, by Asterisk's clock."""
    name, mark = f"{handler}-{world.numbers:07d}", world.asterisk_log_mark()
    world.numbers += 1
    world.originate(name, "time-hangup")
    line = re.compile(rf"NOTICE.*gone {name} (\d+) (\d+)\n")
    wait_until(lambda: bool(line.search(world.asterisk_log(mark))), 15, world.explain)
    began, ended = line.findall(world.asterisk_log(mark))[-1]
    return (int(ended) - int(began)) / 1e6


def portal_seconds(world: World) -> float:
    """How long the portal itself took for the last register: from its first line until the answer was on the wire."""
    requests = [one for one in world.portal.ledger()["requests"] if one["method"].lower() == REGISTER.lower()]
    return float(requests[-1]["took_seconds"])
