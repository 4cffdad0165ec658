"""Whose a telephone is while it rings: Asterisk's own word for it (AstDB), kept for each channel of a call."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import Callable, Mapping, Sequence

from ..bitrix24.directory import Directory
from ..call import Person
from ..errors import AmiError, AmiTimeout, AmiUnreachable
from ..pbx.ami_wire import Message, Values
from ..pbx.call_legs import OURS, CallLegs
from ..pbx.channels import DEVICE

LOG = logging.getLogger("bx24.presence")
ANSWER_SECONDS = 1.0  # AstDB is in Asterisk's memory: who has not answered by then answers nobody now
DEAF_SECONDS = 5.0
TWIN = "99"  # FreePBX's web phone of extension 101 is the device 99101
LONGEST_USER = 80
_DEVICE = re.compile(r"[0-9A-Za-z_.-]{1,80}")

# Have Asterisk answer an action with a list: name, headers, seconds.
ListAction = Callable[[str, Mapping[str, Values], float], Sequence[Message]]


class DeviceUsers:
    """The extension behind each channel that rang or talked: what was true then, whoever logs in there later.

    Safe to use from all threads; `learn` is called by one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asks_from = 0.0  # monotonic seconds: an Asterisk that does not answer is not asked for a while
        self._calls: dict[str, dict[str, str]] = {}  # call -> channel's uniqueid -> extension; "" where none is known

    def of(self, uniqueid: str) -> Mapping[str, str]:
        """Extension by channel of a call, as far as it was learnt; empty where Asterisk has none for the device."""
        with self._lock:
            return dict(self._calls.get(uniqueid, {}))

    def forget(self, uniqueid: str) -> None:
        """The call is of no interest any more."""
        with self._lock:
            self._calls.pop(uniqueid, None)

    def learn(
        self, story: CallLegs, ask: ListAction, people: Mapping[str, Person], directory: Directory
    ) -> dict[str, str]:
        """Ask for each telephone of ours that is new; returns what was learnt that differs from the device's name.

        :param people: devices whose owner the configuration names: nobody needs to be asked.
        """
        known = self.of(story.uniqueid)
        found: dict[str, str] = {}
        if time.monotonic() < self._asks_from:
            return {}
        asked: dict[str, str] = {}
        for leg in story.legs:
            if leg.kind != DEVICE or leg.party != OURS or leg.channel in known or leg.device in people:
                continue
            try:
                if leg.device not in asked:
                    asked[leg.device] = user_of(leg.device, ask, directory)
            except (AmiTimeout, AmiUnreachable) as error:  # the next look asks again
                LOG.info("whose telephone %s is could not be asked: %s", leg.device, error.message)
                self._asks_from = time.monotonic() + DEAF_SECONDS
                break
            found[leg.channel] = asked[leg.device]
        if found:
            with self._lock:
                self._calls.setdefault(story.uniqueid, {}).update(found)
        devices = {leg.channel: leg.device for leg in story.legs}
        return {channel: user for channel, user in found.items() if user and user != devices[channel]}


def user_of(device: str, ask: ListAction, directory: Directory) -> str:
    """The extension that a device belongs to now (`none`: nobody is logged in there); empty where it is not known.

    :raises AmiTimeout, AmiUnreachable: Asterisk can't be asked now.
    """
    user = ""
    if _DEVICE.fullmatch(device):
        try:
            rows = ask("DBGet", {"Family": "DEVICE", "Key": f"{device}/user"}, ANSWER_SECONDS)
            user = next((row["Val"] for row in rows if row.get("Val")), "")[:LONGEST_USER]
        except (AmiTimeout, AmiUnreachable):
            raise
        except AmiError:  # no such entry, or no right to look at it
            user = ""
    twin = device[len(TWIN) :] if device.startswith(TWIN) else ""
    if not user and twin and directory.user_id(Person(extension=twin)):
        return twin
    return user
