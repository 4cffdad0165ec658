"""CRM_CREATE 1 at any portal that allows it: what a call of nobody's number creates, and that it is found again."""

from __future__ import annotations

from portal_under_test import PortalUnderTest, unique_name

SEARCH = "telephony.externalCall.searchCrmEntities"


def test_an_unknown_number_becomes_a_client_once(portal_that_may_create: PortalUnderTest) -> None:
    external_id = unique_name()
    first = portal_that_may_create.register(CRM_CREATE=1, EXTERNAL_CALL_ID=external_id)
    kinds = [entity["ENTITY_TYPE"] for entity in first["CRM_CREATED_ENTITIES"]]
    created = {entity["ENTITY_TYPE"]: int(entity["ENTITY_ID"]) for entity in first["CRM_CREATED_ENTITIES"]}
    if first["CRM_CREATED_LEAD"] is None:  # a portal that works without leads
        assert sorted(kinds) == ["CONTACT", "DEAL"]
        expected = ("CONTACT", created["CONTACT"])
    else:
        assert kinds == ["LEAD"]
        assert first["CRM_CREATED_LEAD"] == created["LEAD"]
        expected = ("LEAD", created["LEAD"])
    assert (first["CRM_ENTITY_TYPE"], first["CRM_ENTITY_ID"]) == expected
    again = portal_that_may_create.register(CRM_CREATE=1, EXTERNAL_CALL_ID=external_id)
    assert (again["CALL_ID"], again["CRM_ENTITY_TYPE"], again["CRM_ENTITY_ID"]) == (first["CALL_ID"], *expected)


def test_a_created_client_is_found_by_its_number_and_gets_the_activity(portal_that_may_create: PortalUnderTest) -> None:
    call_id = portal_that_may_create.register(CRM_CREATE=1)["CALL_ID"]
    found = portal_that_may_create.result(SEARCH, PHONE_NUMBER=portal_that_may_create.phone)[0]
    assert found["CRM_ENTITY_TYPE"] in ("CONTACT", "LEAD")
    assert isinstance(found["CRM_ENTITY_ID"], int)
    assert found["ASSIGNED_BY_ID"] == portal_that_may_create.user
    assert found["ASSIGNED_BY"]["ID"] == str(portal_that_may_create.user)
    assert found["ASSIGNED_BY"]["USER_PHONE_INNER"] == portal_that_may_create.internal_number
    result = portal_that_may_create.finish(call_id, DURATION=10)
    assert isinstance(result["CRM_ACTIVITY_ID"], int)
    assert not isinstance(result["CRM_ACTIVITY_ID"], bool)
    assert (result["CRM_ENTITY_TYPE"], result["CRM_ENTITY_ID"]) == (found["CRM_ENTITY_TYPE"], found["CRM_ENTITY_ID"])
