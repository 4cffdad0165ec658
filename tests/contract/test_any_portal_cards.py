"""telephony.externalCall.show and hide at any portal."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from portal_under_test import NOBODY, PortalUnderTest

SHOW, HIDE = "telephony.externalCall.show", "telephony.externalCall.hide"


@pytest.mark.parametrize("method", [SHOW, HIDE])
@pytest.mark.parametrize(
    "people",
    [
        pytest.param(lambda user: user, id="one"),
        pytest.param(str, id="one as text"),
        pytest.param(lambda user: [user], id="list"),
        pytest.param(lambda user: [str(user), NOBODY], id="list with nobody"),
    ],
)
def test_cards_come_and_go_for_the_people_named(
    portal_under_test: PortalUnderTest, method: str, people: Callable[[int], Any]
) -> None:
    call_id = portal_under_test.register()["CALL_ID"]
    assert portal_under_test.result(method, CALL_ID=call_id, USER_ID=people(portal_under_test.user)) is True


def test_hide_without_people_is_answered_one_way_or_the_other(portal_under_test: PortalUnderTest) -> None:
    call_id = portal_under_test.register()["CALL_ID"]
    reply = portal_under_test.post(HIDE, CALL_ID=call_id)
    assert reply.status in (200, 400)
    portal_under_test.note("hide nobody", reply.body.get("error_description") or reply.body.get("result"))


@pytest.mark.parametrize("method", [SHOW, HIDE])
def test_a_call_that_is_unknown_or_finished_has_no_cards(portal_under_test: PortalUnderTest, method: str) -> None:
    finished = portal_under_test.finished_call()
    assert portal_under_test.result(method, CALL_ID=finished, USER_ID=portal_under_test.user) is False
    assert portal_under_test.result(method, CALL_ID="externalCall.0.0", USER_ID=portal_under_test.user) is False


def test_a_shown_call_is_still_open_and_goes_on(portal_under_test: PortalUnderTest) -> None:
    call_id = portal_under_test.register()["CALL_ID"]
    assert portal_under_test.result(SHOW, CALL_ID=call_id, USER_ID=portal_under_test.user) is True
    assert portal_under_test.statistics(CALL_ID=call_id) == []
    assert portal_under_test.finish(call_id)["CALL_ID"] == call_id
