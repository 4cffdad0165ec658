"""The portal posts its events to an endpoint on loopback: it learns whose they are, and refuses everybody else."""

from __future__ import annotations

import contextlib
import http.client
import socket
import stat
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from freepbx_bx24.bitrix24 import exposure
from freepbx_bx24.bitrix24.events import CALLBACK, CLICK
from freepbx_bx24.bitrix24.exposure import MARK, Place
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.portal.event_delivery import form
from freepbx_bx24.service import event_handler, event_token
from freepbx_bx24.service.event_post import LARGEST
from freepbx_bx24.settings import load
from tests.support.events_service import ON, EventsService, Lane
from tests.support.running_service import asked, wait_until

PHONE = "+79160000555"
PATH = "/bx24/events"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def posted_to(port: int) -> str:
    return ON + f"events: {{address: 'http://127.0.0.1:{port}{PATH}', port: {port}}}\n"


class Handler(Lane):
    """A lane that listens, with what it logs."""

    def __init__(self, portal: Portal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.port = free_port()
        super().__init__(portal, folder, monkeypatch, posted_to(self.port))
        self.lane.turn()

    def knows(self) -> str:
        return event_token.read(self.runtime.state, self.portal.application.client_id)

    def learn(self) -> None:
        event_token.keep(
            self.runtime.state, self.portal.application.client_id, self.portal.application.application_token
        )

    def send(self, body: bytes, method: str = "POST", path: str = PATH, **headers: str) -> int:
        """The status of one request; 0 where the connection was cut without one."""
        named = {**FORM, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            try:
                connection.request(method, path, body, named)
                return connection.getresponse().status
            except (ConnectionError, http.client.BadStatusLine):
                return 0


@pytest.fixture
def handler(portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handler]:
    monkeypatch.setenv("BX24_TEST_TIME_SCALE", "0.05")
    one = Handler(portal, tmp_path, monkeypatch)
    yield one
    one.stop()


def click(**changes: Any) -> dict[str, Any]:
    """What the portal posts for a click, with other `auth` fields."""
    return {"event": CLICK, "ts": int(time.time()), "data": {"CALL_ID": "c1", "USER_ID": 1101}, "auth": changes}


# -- whose events they are -------------------------------------------------------------------------------------------


def test_the_portals_posts_are_bound_learned_and_handed_over(handler: Handler, portal: Portal) -> None:
    assert [row["offline"] for row in portal.ledger()["bindings"]] == [False, False]
    call_id = portal.click(1101, PHONE)
    wait_until(lambda: len(handler.events) == 1, 20)
    portal.callback(PHONE)
    wait_until(lambda: len(handler.events) == 2, 20)
    assert {one.name for one in handler.events} == {CLICK, CALLBACK}
    assert call_id in {one.data.get("CALL_ID") for one in handler.events}
    assert handler.knows() == portal.application.application_token
    wait_until(lambda: [row["status"] for row in portal.ledger()["deliveries"]] == [200, 200], 20)
    assert asked(portal).count("app.info") == 2, "the stranger's and our own, once; what is known is compared here"
    assert handler.polls() == 0


def test_the_token_is_readable_for_nobody_else(handler: Handler) -> None:
    handler.learn()
    assert stat.S_IMODE((handler.runtime.state / event_token.NAME).stat().st_mode) == 0o600


def test_the_token_of_another_application_is_not_ours(handler: Handler) -> None:
    handler.learn()
    assert event_token.read(handler.runtime.state, "local.other") == ""


def test_while_no_token_is_known_the_portal_must_vouch_for_a_post(handler: Handler, portal: Portal) -> None:
    assert handler.send(form(click(application_token="forged-token", access_token="f" * 70))) == 200
    wait_until(lambda: asked(portal).count("app.info") == 1, 20)
    wait_until(lambda: handler.lane.handler is not None and handler.lane.handler._posts.empty(), 20)
    assert (handler.events, handler.knows()) == ([], "")


def test_a_token_of_another_application_does_not_vouch(handler: Handler, portal: Portal) -> None:
    portal.application.app_id = "4"
    token = portal.issue_tokens()["access_token"]
    handler.send(form(click(application_token="forged-token", access_token=token)))
    wait_until(lambda: asked(portal).count("app.info") == 2, 20)
    wait_until(lambda: handler.lane.handler is not None and handler.lane.handler._posts.empty(), 20)
    assert (handler.events, handler.knows()) == ([], "")


def test_the_post_of_an_installation_teaches_the_token_and_is_no_click(handler: Handler, portal: Portal) -> None:
    auth = {**portal.issue_tokens(), "application_token": portal.application.application_token}
    installed = {"event": "ONAPPINSTALL", "ts": 1790000100, "data": {"VERSION": 1, "INSTALLED": "Y"}, "auth": auth}
    assert handler.send(form(installed)) == 200
    wait_until(lambda: handler.knows() == portal.application.application_token, 20)
    assert handler.events == []


def test_a_form_of_nobody_in_the_portal_can_not_teach_the_token(handler: Handler, portal: Portal) -> None:
    portal.callback(PHONE)
    wait_until(lambda: [row["status"] for row in portal.ledger()["deliveries"]] == [403], 20)
    assert (handler.events, handler.knows()) == ([], "")


# -- who is refused --------------------------------------------------------------------------------------------------

GOOD = form(click(application_token="t" * 32))


@pytest.mark.parametrize(
    "request_, status, why",
    [
        ({"body": form(click(application_token="x" * 32))}, 403, "a wrong auth[application_token]"),
        ({"body": form(click(application_token=""))}, 403, "no auth[application_token]"),
        ({"body": form(click())}, 403, "no auth[application_token]"),
        ({"body": b"\xff" * 1000}, 403, "no auth[application_token]"),
        ({"body": b"&".join(b"a%d=1" % at for at in range(300))}, 400, "a form of more than 200 fields"),
        ({"body": form({**click(application_token="t" * 32), "event": "no event"})}, 400, "no event"),
        ({"body": GOOD, "path": "/admin/config.php"}, 404, "another path"),
        ({"body": GOOD, "path": PATH + "/x"}, 404, "another path"),
        ({"body": GOOD, "method": "GET"}, 405, "not a POST"),
        ({"body": GOOD, "method": "PUT"}, 405, "not a POST"),
        ({"body": GOOD, "Transfer_Encoding": "chunked"}, 411, "a body without its length"),
        ({"body": GOOD, "Content_Type": "application/json"}, 415, "not a form"),
        ({"body": b"x", "Content_Length": "-1"}, 411, "a body without its length"),
        ({"body": b"x", "Content_Length": str(LARGEST + 1)}, 413, f"a body of more than {LARGEST} bytes"),
    ],
)
def test_what_is_no_event_of_the_portals_is_refused_without_work(
    handler: Handler,
    portal: Portal,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request_: dict[str, Any],
    status: int,
    why: str,
) -> None:
    monkeypatch.setattr(event_token, "read", lambda *_: "t" * 32)
    before = asked(portal)
    assert handler.send(**request_) == status
    assert handler.send(**request_) == status
    assert (handler.events, asked(portal)) == ([], before)
    assert [record.getMessage() for record in caplog.records if "refused" in record.getMessage()] == [
        f"refused at the events' handler: {why}"
    ]


def test_an_empty_post_is_refused_without_a_word(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    assert exposure.ask(Place(handler.port, False, "127.0.0.1"), PATH, "POST").endswith(MARK + b"400\n")
    assert "refused" not in caplog.text


def test_a_body_of_a_megabyte_is_not_read(handler: Handler) -> None:
    assert handler.send(b"a" * 1_000_000) in (0, 413)
    assert handler.events == []


def test_a_right_post_is_taken(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_token, "read", lambda *_: "t" * 32)
    assert handler.send(GOOD) == 200
    wait_until(lambda: len(handler.events) == 1, 20)


def test_posts_are_answered_while_an_event_is_being_worked_on_and_no_more_than_can_be_kept(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_token, "read", lambda *_: "t" * 32)
    monkeypatch.setattr(event_handler, "POSTS_A_SECOND", 0.0)
    with handler.lane.intake._lock:  # whoever works on an event waits here
        said = [handler.send(GOOD) for _ in range(event_handler.MOST_WAITING + 2)]
    assert said[0] == 200
    assert said[-1] in (429, 503)


def test_a_connection_that_trickles_ends(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_handler, "REQUEST_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", handler.port), timeout=20) as connection:
        connection.sendall(b"POST /bx24/events HTTP/1.1\r\nContent-Le")
        assert connection.recv(1000) == b""


def test_more_connections_than_are_served_at_once_are_turned_away(handler: Handler) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(event_handler.CONNECTIONS):
            held.enter_context(socket.create_connection(("127.0.0.1", handler.port), timeout=20)).sendall(b"POST ")
        with socket.create_connection(("127.0.0.1", handler.port), timeout=20) as one_more:
            assert one_more.recv(1000) == b""


def test_it_listens_on_loopback_alone(handler: Handler) -> None:
    assert handler.lane.handler
    assert handler.lane.handler._server.socket.getsockname()[0] == "127.0.0.1"


# -- switched on and off ---------------------------------------------------------------------------------------------


def test_without_an_address_nothing_listens_and_the_portal_is_asked_again(handler: Handler, portal: Portal) -> None:
    handler.write(ON)
    handler.runtime.use(load())
    handler.lane.turn()
    assert [row["offline"] for row in portal.ledger()["bindings"]] == [True, True]
    assert handler.send(GOOD) == 0
    assert handler.polls() == 1


def test_a_taken_port_is_said_and_tried_again(
    handler: Handler, portal: Portal, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        handler.write(posted_to(port))
        handler.runtime.use(load())
        assert handler.lane.turn() < 10
        assert f"port {port} of events.port: Address already in use" in caplog.text
    handler.lane.turn()
    assert handler.lane.handler


def test_a_real_service_hears_of_a_click_by_a_post(portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> None:
    service = EventsService(tmp_path_factory.mktemp("s"), portal, posted_to(free_port()))
    service.start_noting()
    try:
        wait_until(lambda: len(portal.ledger()["bindings"]) == 2, 20, service.log)
        call_id = portal.click(1101, PHONE, from_mobile=True)
        (only,) = service.wait_for_events()
        assert (only["data"]["CALL_ID"], only["data"]["IS_MOBILE"]) == (call_id, "1")
        assert portal.application.application_token not in service.log()
        assert (service.directory / "state" / event_token.NAME).stat().st_mode & 0o077 == 0
    finally:
        service.stop()
