"""The portal's events as the product reads them: from the queue, from a form, and from whoever would like to be it."""

from __future__ import annotations

import time
from typing import Iterator
from urllib.parse import parse_qsl

import pytest

from freepbx_bx24.bitrix24 import events
from freepbx_bx24.bitrix24.client import Client
from freepbx_bx24.bitrix24.events import CALLBACK, CLICK, Binding
from freepbx_bx24.bitrix24.portal import open_portal
from freepbx_bx24.errors import FeatureMissing, MethodForbidden, NeedsApplication
from freepbx_bx24.sandbox.portal import Portal, Reply
from freepbx_bx24.sandbox.portal.event_delivery import form
from tests.support.application import application_settings, let_in

PHONE = "+79160000555"
OFFLINE = frozenset({Binding(CLICK), Binding(CALLBACK)})


@pytest.fixture
def application(portal: Portal, tmp_path) -> Iterator[Client]:
    """A client that is let in as the portal's application, with both events bound offline."""
    let_in(portal, tmp_path)
    with open_portal(application_settings(portal), tmp_path) as client:
        events.settle(client, OFFLINE, 5)
        yield client


def fetched(client: Client, reserve: bool = True) -> events.Fetched:
    return events.fetch(client, reserve, 5, 5)


# -- the queue and the form tell the same ----------------------------------------------------------------------------


def test_a_click_is_fields_of_text(portal, application):
    call_id = portal.click(1101, "8 (495) 123-45-67")
    (one,) = fetched(application).events
    assert (one.name, one.data["CALL_ID"], one.data["USER_ID"], one.data["IS_MOBILE"]) == (CLICK, call_id, "1101", "0")
    assert one.data["PHONE_NUMBER_INTERNATIONAL"] == "+74951234567"
    assert (one.data["CRM_ENTITY_TYPE"], one.data["CRM_ENTITY_ID"]) == ("CONTACT", "42")
    assert not {"CRM_CREATED_LEAD", "CRM_CREATED_ENTITIES"} & one.data.keys()


def test_a_form_and_the_queue_give_the_same_event(portal, application):
    portal.click(1101, PHONE, from_mobile=True)
    row = application.call("event.offline.list", {}, total_seconds=5).result[0]
    body = form({"event": row["EVENT_NAME"], "ts": 1790000100, "data": row["EVENT_DATA"], "auth": {"domain": "x.y"}})
    told, auth = events.read_form(parse_qsl(body.decode(), keep_blank_values=True))
    (queued,) = fetched(application).events
    assert (told.name, told.data, told.message_id) == (queued.name, queued.data, queued.message_id)
    assert (told.timestamp, auth) == (1790000100.0, {"domain": "x.y"})


def test_an_event_is_as_old_as_the_portals_own_clock_says_it_is(portal, application):
    portal._time._wall = lambda: time.time() - 5000  # the portal's clock is slow; that of its answers too
    portal.click(1101, PHONE)
    (one,) = fetched(application).events
    assert abs(one.timestamp - time.time()) < 60


@pytest.mark.parametrize("name", [None, 7, "", "on event", "ON\nEVENT", "ONÉ", "X" * 50])
def test_what_has_no_proper_name_is_no_event(name):
    assert events.event(name, {}, 0.0) is None


def test_values_are_one_harmless_line_each_and_bounded():
    one = events.event("ONX", {"TEXT": "a\r\nb\x1b[1m" + "x" * 5000, "lower": "x", "A-B": "x", "LIST": [1]}, 0.0)
    assert one.data.keys() == {"TEXT"}
    assert one.data["TEXT"].startswith("a b [1m")
    assert len(one.data["TEXT"]) == events.LONGEST_VALUE
    assert len(events.event("ONX", {f"F{at}": "x" for at in range(500)}, 0.0).data) == events.MOST_FIELDS


# -- nothing is lost between reading and working on it ---------------------------------------------------------------


def test_reserved_events_come_again_to_who_asks_for_what_is_reserved(portal, application):
    portal.click(1101, PHONE)
    first = fetched(application)
    assert fetched(application).events == ()
    assert events.reserved(application, 5) == [first]
    events.done(application, first.process_id, 5)
    assert events.reserved(application, 5) == []
    assert events.waiting(application, 5) == 0


def test_a_plan_without_reserving_says_so_and_gives_events_for_good(portal, application):
    portal.switches.offline_extended = False
    portal.click(1101, PHONE)
    assert not events.may_reserve(application, 5)
    with pytest.raises(FeatureMissing):
        fetched(application)
    assert events.waiting(application, 5) == 1
    only = fetched(application, reserve=False)
    assert (len(only.events), only.process_id) == (1, "")
    assert events.waiting(application, 5) == 0


@pytest.mark.parametrize("result", [None, [], {"events": None}, {"events": "x"}, {"process_id": "1"}, "x"])
def test_an_answer_that_is_no_list_of_events_is_an_error(portal, application, result):
    portal.scripted_replies.add("event.offline.get", Reply(200, {"result": result, "time": {}}))
    with pytest.raises(events.PortalBroken):
        fetched(application)


def test_rows_that_make_no_sense_are_left_out(portal, application):
    rows = [None, 7, {}, {"EVENT_NAME": CLICK, "EVENT_DATA": "x"}, {"EVENT_NAME": [], "EVENT_DATA": {}}]
    good = {"EVENT_NAME": CLICK, "EVENT_DATA": {"CALL_ID": "c"}, "TIMESTAMP_X": "never"}
    portal.scripted_replies.add(
        "event.offline.get", Reply(200, {"result": {"process_id": "p", "events": [*rows, good]}, "time": {}})
    )
    one = fetched(application)
    assert [event.data for event in one.events] == [{"CALL_ID": "c"}]
    assert one.process_id == "p"


# -- bindings --------------------------------------------------------------------------------------------------------


def test_what_is_bound_becomes_what_is_wanted_and_stays_so(portal, application):
    handler = frozenset({Binding(CLICK, "https://pbx.example.com:8443/bx24"), Binding(CALLBACK, "https://a.b/c")})
    assert events.settle(application, handler, 5) == (handler, OFFLINE)
    assert events.bindings(application, 5) == handler
    assert events.settle(application, handler, 5) == (frozenset(), frozenset())


def test_an_event_that_somebody_binds_at_the_same_time_is_bound(application):
    events.bind(application, Binding(CLICK), 5)
    assert events.bindings(application, 5) == OFFLINE


def test_a_webhook_learns_that_it_needs_an_application(client):
    with pytest.raises(NeedsApplication):
        events.bindings(client, 5)


def test_somebody_who_is_no_administrator_learns_who_should_log_in(portal, tmp_path):
    let_in(portal, tmp_path, user_id=1101)
    with open_portal(application_settings(portal), tmp_path) as client, pytest.raises(MethodForbidden) as refused:
        events.bind(client, Binding(CLICK), 5)
    assert "as an administrator" in refused.value.hint
