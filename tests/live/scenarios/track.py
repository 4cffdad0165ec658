"""The eight tracks of the sandbox's dialplan: what people, numbers and features of one name are on each of them."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Iterator, Mapping, Sequence

from freepbx_bx24.sandbox.portal.world import World

TRACKS = 8
MAIN_LINE, MAIN_PERSON, DEFAULT_PERSON = "+74957770000", "191", "190"
LINE_PERSON = "7"  # owns the track's line; his telephone rings for nobody but himself
FEATURES: Mapping[str, str] = {
    "ring group": "00",
    "hunt group": "01",
    "queue": "02",
    "menu": "03",
    "menu without an end": "04",
    "follow-me": "05",
    "group with a mobile": "06",
    "day and night": "07",
    "busy tone": "08",
    "announcement": "09",
    "queue in turn": "10",
    "group of mobiles": "11",
    "no route": "12",
    "noted voicemail": "13",
}
GROUPS: Mapping[str, str] = {
    "ring group": "60",
    "hunt group": "61",
    "group with a mobile": "62",
    "group of mobiles": "63",
    "queue": "70",
    "queue in turn": "71",
    "room": "68",
}
TWIN = "8 twin"  # the second telephone of person 8
# Whose own a mobile is; mobile 6 is nobody's on the other tracks, mobile 9 on all of them.
OWNERS: Mapping[str, str] = {"mobile 6": "4", "mobile 7": "2", "mobile 8": "3"}
TRACKS_WHERE_MOBILE_6_IS_A_PERSONS_OWN = range(4)


@dataclass(frozen=True)
class Track:
    """One track, 0 to 7. People are "1" to "9" on each of them."""

    index: int

    @property
    def line(self) -> str:
        """LINE_NUMBER of everything that comes in on this track."""
        return f"+74957771{self.index}00"

    @property
    def telephones(self) -> Sequence[str]:
        """The names of all telephones."""
        return (*map(str, range(1, 10)), TWIN)

    def device(self, telephone: str) -> str:
        """The endpoint's name."""
        return f"991{self.index}8" if telephone == TWIN else self.extension(telephone)

    def extension(self, person: str) -> str:
        """The extension of a person, who may be named by a telephone."""
        return f"1{self.index}{person[0]}"

    def user(self, person: str, line: str = "") -> int:
        """USER_ID of a person, or of the one who owns a line (`line`)."""
        if person == "line" and line == MAIN_LINE:
            return int(MAIN_PERSON) + 1000
        return int(self.extension(LINE_PERSON if person == "line" else person)) + 1000

    def person(self, user: int) -> str:
        """The name of a user, as well as it can be told."""
        found = re.fullmatch(rf"11{self.index}([1-9])", str(user))
        return found[1] if found else f"user {user}"

    def did(self, name: str) -> str:
        """What a client dials to reach a person or a feature."""
        return f"74957771{self.index}{FEATURES[name]}" if name in FEATURES else f"74957770{self.extension(name)}"

    def mobile(self, name: str) -> str:
        """`mobile 6` to `mobile 9`, as they are dialled."""
        return f"8916000{self.index}00{name[-1]}"

    @property
    def owners(self) -> Mapping[str, str]:
        """Whose own a mobile is, by the portal."""
        own = self.index in TRACKS_WHERE_MOBILE_6_IS_A_PERSONS_OWN
        return {mobile: person for mobile, person in OWNERS.items() if own or mobile != "mobile 6"}

    def dialled(self, name: str) -> str:
        """What a telephone dials for a person, a group or queue, or a mobile; anything else is dialled as it is."""
        if name in GROUPS:
            return f"{GROUPS[name]}{self.index}"
        if name.startswith("mobile "):
            return self.mobile(name)
        return self.extension(name) if re.fullmatch("[1-9]", name) else name


def lines() -> str:
    """The YAML's lines: a line a track, with the track's DIDs, and the number that outbound calls show."""
    rows = [f'  "{MAIN_LINE}": {{name: Main, person: {MAIN_PERSON}}}']
    for track in map(Track, range(TRACKS)):
        dids = f'["_74957771{track.index}XX", "_749577701{track.index}X"]'
        rows.append(
            f'  "{track.line}": {{name: Track {track.index}, dids: {dids}, person: {track.extension(LINE_PERSON)}}}'
        )
    return "\n".join(["lines:", *rows, ""])


@contextlib.contextmanager
def mobiles_given(world: World) -> Iterator[None]:
    """The portal knows whose own the mobiles are."""
    given = []
    for track in map(Track, range(TRACKS)):
        for mobile, owner in track.owners.items():
            employee = world.employee(track.user(owner))
            assert employee
            given.append((employee, employee.personal_mobile))
            employee.personal_mobile = "+7" + track.mobile(mobile)[1:]
    try:
        yield
    finally:
        for employee, before in given:
            employee.personal_mobile = before
