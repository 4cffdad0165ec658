"""Who a number belongs to: the portal's odd types are understood, and nothing that it says is believed blindly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepbx_bx24.bitrix24 import clients
from freepbx_bx24.bitrix24.client import webhook_client
from freepbx_bx24.bitrix24.clients import LONGEST_NAME, Client, found
from freepbx_bx24.call import Entity
from freepbx_bx24.errors import FeatureMissing, PortalBroken
from freepbx_bx24.sandbox.portal import Entity as Record
from freepbx_bx24.sandbox.portal import Portal


def row(**changes: Any) -> dict[str, Any]:
    person = {
        "ID": "12",
        "TIMEMAN_STATUS": "OPENED",
        "USER_PHONE_INNER": "101",
        "WORK_PHONE": None,
        "PERSONAL_PHONE": "",
        "PERSONAL_MOBILE": "79160000000",
    }
    person.update({name: changes.pop(name) for name in list(changes) if name in person})
    return {
        "CRM_ENTITY_TYPE": "CONTACT",
        "CRM_ENTITY_ID": 42,
        "ASSIGNED_BY_ID": 12,
        "NAME": "Test Client",
        "ASSIGNED_BY": person,
        **changes,
    }


def without(name: str) -> dict[str, Any]:
    one = row()
    (one if name in one else one["ASSIGNED_BY"]).pop(name)
    return one


def test_an_answer_is_a_client_with_a_name_and_a_responsible_person() -> None:
    assert found([row()]) == Client(Entity("CONTACT", 42), "Test Client", 12, "101", True)


def test_the_first_of_several_is_the_main_one() -> None:
    rows = [row(CRM_ENTITY_ID=number, NAME=f"Client {number}") for number in range(1, 51)]
    assert found([*rows, row(CRM_ENTITY_TYPE="LEAD")]) == Client(Entity("CONTACT", 1), "Client 1", 12, "101", True)


def test_an_empty_list_is_nobody() -> None:
    assert found([]) is None


@pytest.mark.parametrize("status", ["OPENED", "UNAVAILABLE", "NOT_INSTALLED", "", None, 7, ["CLOSED"]])
def test_who_does_not_use_the_time_keeping_is_at_work(status: object) -> None:
    client = found([row(TIMEMAN_STATUS=status)])
    assert client and client.at_work


@pytest.mark.parametrize("status", ["CLOSED", "PAUSED", "EXPIRED", "closed"])
def test_who_has_gone_home_or_pauses_is_not_at_work(status: str) -> None:
    client = found([row(TIMEMAN_STATUS=status)])
    assert client and not client.at_work


def test_a_status_that_is_absent_counts_as_at_work() -> None:
    client = found([without("TIMEMAN_STATUS")])
    assert client and client.at_work


def test_a_name_may_be_absent() -> None:
    assert found([without("NAME")]) == Client(Entity("CONTACT", 42), "", 12, "101", True)


def test_a_person_whose_row_is_missing_is_known_by_id_alone() -> None:
    nobody = dict.fromkeys(row()["ASSIGNED_BY"])
    assert found([row(ASSIGNED_BY=nobody, ASSIGNED_BY_ID=9999)]) == Client(
        Entity("CONTACT", 42), "Test Client", 9999, "", True
    )


@pytest.mark.parametrize("person", [None, [], "12", 12, {}, {"ID": "-1"}, {"ID": ["12"]}])
def test_nobody_responsible_is_nobody_to_ring(person: object) -> None:
    client = found([row(ASSIGNED_BY=person, ASSIGNED_BY_ID=None)])
    assert client and (client.responsible, client.extension, client.at_work) == (0, "", False)


@pytest.mark.parametrize("extension", ["*97", "1 01", "101&102", "\u0661\u0660\u0661", "9" * 99, None, 1.5, ["101"]])
def test_an_extension_that_is_none_is_not_rung(extension: object) -> None:
    client = found([row(USER_PHONE_INNER=extension)])
    assert client and client.extension == ""


def test_a_name_is_one_short_printable_line() -> None:
    client = found([row(NAME="\x1b[2JИванов\r\n\u202eПётр" + "x" * 5000)])
    assert client and client.name.startswith("[2JИванов Пётр") and len(client.name) <= LONGEST_NAME
    assert client.name.isprintable()


@pytest.mark.parametrize("result", [None, {}, "", 0, True, {"0": row()}])
def test_what_is_no_list_is_no_answer(result: object) -> None:
    with pytest.raises(PortalBroken, match="no list"):
        found(result)


@pytest.mark.parametrize("result", [[None], [[]], [{}], [row(CRM_ENTITY_ID="0")], [row(CRM_ENTITY_TYPE=False)]])
def test_somebody_who_can_not_be_read_is_not_nobody(result: object) -> None:
    with pytest.raises(PortalBroken, match="nobody that can be read"):
        found(result)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(row())), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_no_answer_does_worse_than_being_refused(result: Any) -> None:
    try:
        client = found(result)
    except PortalBroken:
        return
    assert client is None or (client.name.isprintable() and (client.extension == "" or client.extension.isdigit()))


def test_the_sandbox_portal_is_asked_and_understood() -> None:
    with Portal() as portal:
        portal.world.entities.append(Record("LEAD", 900, "Closed deal", ["+7 916 222-33-44"], 1105, closed=True))
        with webhook_client(portal.webhook_url) as client:
            answers = [
                found(client.call(clients.METHOD, clients.parameters(number), total_seconds=5).result)
                for number in ("+74951234567", "+79162223344", "+79990000000")
            ]
            portal.switches.crm_installed = False
            with pytest.raises(FeatureMissing):
                client.call(clients.METHOD, clients.parameters("+74951234567"), total_seconds=5)
    assert answers == [
        Client(Entity("CONTACT", 42), "Anna Petrova", 1102, "102", True),
        Client(Entity("LEAD", 900), "Closed deal", 1105, "105", True),
        None,
    ]
