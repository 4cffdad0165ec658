"""telephony.externalCall.show and hide."""

from __future__ import annotations

from typing import Any

import pytest
from portal_client import Client

SHOW, HIDE = "telephony.externalCall.show", "telephony.externalCall.hide"


@pytest.mark.parametrize("method, action", [(SHOW, "show"), (HIDE, "hide")])
@pytest.mark.parametrize(
    "given, people",
    [
        ({}, [1101]),
        ({"USER_ID": 1102}, [1102]),
        ({"USER_ID": "1102"}, [1102]),
        ({"USER_ID": [1102, "1103"]}, [1102, 1103]),
        ({"USER_ID": []}, []),
        ({"USER_ID": [1102, 5555, 1198]}, [1102]),
    ],
)
def test_cards_come_and_go_for_the_people_named_or_the_registered_one(
    client: Client, method: str, action: str, given: dict[str, Any], people: list[int]
) -> None:
    call_id = client.register(SHOW=0)["CALL_ID"]
    assert client.result(method, CALL_ID=call_id, **given) is True
    assert client.cards() == [(action, person, action) for person in people]


@pytest.mark.parametrize("method", [SHOW, HIDE])
def test_a_call_that_is_unknown_or_finished_has_no_cards(client: Client, method: str) -> None:
    call_id = client.finished_call(SHOW=0)
    before = client.cards()
    assert client.result(method, CALL_ID=call_id, USER_ID=1101) is False
    assert client.result(method, CALL_ID="externalCall.0.0", USER_ID=1101) is False
    assert client.result(method) is False
    assert client.cards() == before


def test_show_does_not_change_whose_call_it_is(client: Client) -> None:
    call_id = client.register()["CALL_ID"]
    client.result(SHOW, CALL_ID=call_id, USER_ID=1107)
    assert client.ledger_call(call_id)["registered_by"] == 1101


def test_card_events_carry_call_and_time(client: Client) -> None:
    call_id = client.register(EXTERNAL_CALL_ID="pbx-9")["CALL_ID"]
    card = client.portal.ledger()["cards"][0]
    assert (card["CALL_ID"], card["EXTERNAL_CALL_ID"]) == (call_id, "pbx-9")
    assert card["time"] >= client.ledger_call(call_id)["registered_at"]
