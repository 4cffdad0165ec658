"""What is known of a scenario after it was played: plain data, of the endpoints' records and the portal's ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from freepbx_bx24.sandbox.pbx.record import CallRecord

from .track import Track


@dataclass(frozen=True)
class Heard:
    """One call as one endpoint saw it. `who` is a telephone's name on the track, or that of a client or mobile."""

    who: str
    record: CallRecord

    def told(self) -> str:
        """The call in a line: from and to whom, how it ended, and its seconds."""
        record = self.record
        way = "calls" if record.placed else "is called as"
        seconds = f"rang {record.ring_seconds:.2f} s, talked {record.talk_seconds:.2f} s"
        return f"{way} {record.request_user}: {record.final_status}, {record.ended_how} by {record.ended_by}, {seconds}"


@dataclass(frozen=True)
class Seen:
    """A scenario's calls on both sides.

    `heard` is what the endpoints saw, `whose` whose a telephone or mobile is, `apart` when the client was with nobody
    although our telephones were up (monotonic seconds), `complaints` what did not happen in time, `calls` and `cards`
    what the CRM has of its clients, `requests` and `all_numbers` what the portal was asked by all scenarios, and all
    their calls' numbers.
    """

    track: Track
    numbers: Mapping[str, str]
    heard: Sequence[Heard]
    whose: Mapping[str, str]
    apart: Sequence[Sequence[float]] = ()
    complaints: Sequence[str] = ()
    calls: Sequence[Mapping[str, Any]] = ()
    cards: Sequence[Mapping[str, Any]] = ()
    requests: Sequence[Mapping[str, Any]] = ()
    all_numbers: Sequence[str] = ()


def open_cards(calls: Sequence[Mapping[str, Any]], cards: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """The number of a call and the user id of whoever still has its card."""
    screens = {(card["CALL_ID"], card["USER_ID"]): card["action"] for card in cards}
    numbers = {call["CALL_ID"]: call["PHONE_NUMBER"] for call in calls}
    return [
        (numbers[call_id], user) for (call_id, user), last in screens.items() if call_id in numbers and last == "show"
    ]
