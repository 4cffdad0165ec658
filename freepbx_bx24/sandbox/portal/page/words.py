"""What became of a call, in the words that a person in the CRM reads."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

GOOD, BAD, NEUTRAL = "good", "bad", "neutral"


class Outcome(NamedTuple):
    """The words, and whether they are good news."""

    text: str
    tone: str


# By STATUS_CODE, as the portal names them.
OUTCOMES = {
    "200": Outcome("Answered", GOOD),
    "304": Outcome("Missed", BAD),
    "603": Outcome("Declined", BAD),
    "603-S": Outcome("Cancelled", NEUTRAL),
    "403": Outcome("Refused", BAD),
    "404": Outcome("Wrong number", BAD),
    "486": Outcome("Busy", BAD),
    "484": Outcome("Number unavailable", BAD),
    "503": Outcome("Number unavailable", BAD),
    "480": Outcome("Temporarily unavailable", BAD),
    "402": Outcome("Not enough money", BAD),
    "423": Outcome("Blocked", BAD),
}
OTHER = Outcome("Ended", NEUTRAL)
GOING_ON = Outcome("In progress", NEUTRAL)


def outcome_of(call: Mapping[str, Any]) -> Outcome:
    """The outcome of a call of the ledger."""
    if call["state"] == "open":
        return GOING_ON
    return OUTCOMES.get(call["STATUS_CODE"], OTHER)
