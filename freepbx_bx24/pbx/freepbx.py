"""What Asterisk's console shows of a PBX: its extensions, queues, trunks, inbound and outbound routes."""

from __future__ import annotations

import re
from typing import Callable, NamedTuple

MOST_TRUNKS = 50  # each is a question of its own
MOST_ROUTES = 100
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_EXTENSION = re.compile(r"^/AMPUSER/([0-9]{1,20})/", re.MULTILINE)
_QUEUE = re.compile(r"^(\S+) +has [0-9]+ calls?", re.MULTILINE)
# A member without a name stands there by the interface alone. What FreePBX dials otherwise than from-queue is a mobile.
_MEMBER = re.compile(r"^ +(?:[^\n]*\()?(?:Local/([0-9]{1,20})@from-queue|(?:PJSIP|SIP|IAX2)/([0-9]{1,20})(?=[) ]))")
_DID = re.compile(r"^  '([^']+)'(?: \(CID match '[^']*'\))? =>", re.MULTILINE)
_INCLUDE = re.compile(r"^  Include => +'([^']+)'", re.MULTILINE)
_TRUNK = re.compile(r"^ *OUT_([0-9]+)=(PJSIP|SIP|IAX2|AMP:[^\n]*)\s*$", re.MULTILINE)
_SUFFIX = re.compile(r"^ *OUT_([0-9]+)_SUFFIX=@([^\s@/]+)\s*$", re.MULTILINE)
_CONTEXT = re.compile(r"^ *context +: +(\S+)", re.MULTILINE)
_VERSION = re.compile(r"^Asterisk (\S+)", re.MULTILINE)
_AGI_FOLDER = re.compile(r"^ *AGI Scripts directory: +(/\S+)", re.MULTILINE)
_PROCESSED = re.compile(r"^([0-9]{1,9}) calls? processed", re.MULTILINE)
_UPTIME = re.compile(r"^System uptime: +([0-9]{1,12})", re.MULTILINE)
_MANAGER_USER = re.compile(r"^([^\s-][^\s]*)$", re.MULTILINE)


class Member(NamedTuple):
    """An extension that a queue rings."""

    queue: str
    extension: str


class Shown:
    """Asks the console and reads its answers; all raise ServiceError where Asterisk does not answer.

    :param ask: runs one console command and returns what it printed.
    """

    def __init__(self, ask: Callable[[str], str]) -> None:
        self._ask = ask

    def says(self, command: str) -> str:
        """The answer to one command, without colours."""
        return _COLOURS.sub("", self._ask(command))

    def version(self) -> str:
        """As `22.10.1`, or longer with a distribution's marks; "" where it is not told."""
        found = _VERSION.search(self.says("core show version"))
        return found[1] if found else ""

    def agi_folder(self) -> str:
        """Where AGI scripts are; "" where it is not told."""
        found = _AGI_FOLDER.search(self.says("core show settings"))
        return found[1] if found else ""

    def extensions(self) -> list[str]:
        """FreePBX's extensions, each once; none on a plain Asterisk."""
        return sorted(set(_EXTENSION.findall(self.says("database show AMPUSER"))))

    def queue_members(self) -> list[Member]:
        """The extensions that queues ring; a queue's mobiles are none."""
        found, queue = [], ""
        for line in self.says("queue show").splitlines():
            name = _QUEUE.match(line)
            if name:
                queue = name[1]
            member = _MEMBER.match(line)
            if queue and member:
                found.append(Member(queue, member[1] or member[2]))
        return found

    def includes(self, context: str) -> list[str]:
        """The contexts that a context includes, in their order."""
        return _INCLUDE.findall(self.says(f"dialplan show {context}"))

    def dids(self) -> list[str]:
        """The numbers and patterns of FreePBX's inbound routes, without the caller's part; `s` is any number."""
        found = []
        for context in ("ext-did-0001", "ext-did-0002"):
            found += _DID.findall(self.says(f"dialplan show {context}"))
        return list(dict.fromkeys(did.partition("/")[0] for did in found))

    def trunks(self) -> dict[str, str]:
        """The context of each of FreePBX's PJSIP trunks, by its name; "" where Asterisk does not tell it."""
        shown = self.says("dialplan show globals")
        kinds, names = dict(_TRUNK.findall(shown)), dict(_SUFFIX.findall(shown))
        ours = [names[number] for number in kinds if kinds[number] == "PJSIP" and number in names][:MOST_TRUNKS]
        return {name: self._context(name) for name in ours}

    def _context(self, endpoint: str) -> str:
        found = _CONTEXT.search(self.says(f"pjsip show endpoint {endpoint}"))
        return found[1] if found else ""

    def outbound_routes(self) -> dict[str, str]:
        """What the dialplan has of each of FreePBX's outbound routes, by its context."""
        routes = [name for name in self.includes("outbound-allroutes") if name.startswith("outrt-")]
        return {name: self.says(f"dialplan show {name}") for name in routes[:MOST_ROUTES]}

    def calls_since_start(self) -> tuple[int, float]:
        """How many calls Asterisk has had since its start, and how many seconds ago that was; (0, 0.0): unknown."""
        calls = _PROCESSED.search(self.says("core show channels count"))
        seconds = _UPTIME.search(self.says("core show uptime seconds"))
        return (int(calls[1]), float(seconds[1])) if calls and seconds else (0, 0.0)

    def manager_users(self) -> list[str]:
        """The names of those who may log in to the manager interface."""
        _, _, users = self.says("manager show users").partition("--------\n")
        return _MANAGER_USER.findall(users)
