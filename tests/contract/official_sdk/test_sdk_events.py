"""The official SDK at the sandbox's events: the queue as its own types, and a post that it takes for the portal's."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from b24pysdk import BitrixAppLocal, errors
from b24pysdk.client import BaseClient
from b24pysdk.credentials import OAuthEventData
from portal_client import PHONE

from freepbx_bx24.sandbox.portal import Portal

CLICK, CALLBACK = "ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART"


class Handler:
    """An address that the portal can post to. `posts`: the form fields of each post, `kinds` their content types."""

    def __init__(self) -> None:
        self.posts: list[dict[str, str]] = []
        self.kinds: list[str | None] = []
        self.came = threading.Semaphore(0)
        handler = self

        class Post(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                handler.posts.append(dict(parse_qsl(body, keep_blank_values=True, strict_parsing=True)))
                handler.kinds.append(self.headers["Content-Type"])
                self.send_response(200)
                self.end_headers()
                handler.came.release()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Post)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/bx24"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def next_post(self) -> dict[str, str]:
        assert self.came.acquire(timeout=20), "no post came"
        return self.posts[-1]


@pytest.fixture
def handler() -> Iterator[Handler]:
    one = Handler()
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_it_binds_reserves_and_clears_the_queue(portal: Portal, client: BaseClient) -> None:
    assert client.event.bind(CLICK, event_type="offline").result is True
    assert CLICK in client.events().result
    call_id = portal.click(1101, PHONE)
    reserved = client.event.offline.get(clear=False, filter={"=EVENT_NAME": CLICK}).result
    (row,) = reserved["events"]
    assert row["EVENT_DATA"]["CALL_ID"] == call_id
    assert client.event.offline.get(clear=False).result["events"] == []
    assert len(client.event.offline.list().result) == 1
    assert client.event.offline.clear(reserved["process_id"], message_id=[row["MESSAGE_ID"]]).result is True
    assert client.event.offline.list().result == []
    assert client.event.get().result == [{"event": CLICK, "connector_id": "", "offline": 1}]
    assert client.event.unbind(CLICK, event_type="offline").result == {"count": 1}


def test_what_is_refused_is_its_own_error(portal: Portal, client: BaseClient) -> None:
    with pytest.raises(errors.BitrixAPIError, match="Event not found"):
        client.event.bind("ONNOTHING", event_type="offline").result  # noqa: B018
    portal.switches.offline_extended = False
    with pytest.raises(errors.BitrixAPIError, match="extended offline events handling"):
        client.event.offline.get(clear=False).result  # noqa: B018


def test_a_click_is_posted_as_a_form_that_it_reads_as_an_event_of_a_person(
    portal: Portal, client: BaseClient, app: BitrixAppLocal, handler: Handler
) -> None:
    assert client.event.bind(CLICK, handler.address).result
    call_id = portal.click(1101, "8 (495) 123-45-67")
    post = handler.next_post()
    assert handler.kinds == ["application/x-www-form-urlencoded"]
    assert {name: post[f"data[{name}]"] for name in ("CALL_ID", "USER_ID", "IS_MOBILE", "PHONE_NUMBER")} == {
        "CALL_ID": call_id,
        "USER_ID": "1101",
        "IS_MOBILE": "0",
        "PHONE_NUMBER": "8 (495) 123-45-67",
    }
    told = OAuthEventData.from_dict(post)
    assert (told.event, told.is_system) == (CLICK, False)
    assert told.auth.application_token == portal.application.application_token
    assert urlsplit(f"//{told.auth.domain}").port == urlsplit(portal.url).port
    assert "auth[refresh_token]" not in post


def test_a_callback_form_is_posted_as_an_event_of_the_system(
    portal: Portal, client: BaseClient, handler: Handler
) -> None:
    assert client.event.bind(CALLBACK, handler.address).result
    portal.callback(PHONE, text="Call & me")
    told = OAuthEventData.from_dict(handler.next_post())
    assert told.is_system
    assert told.data is not None
    assert (told.data["PHONE_NUMBER"], told.data["TEXT"]) == (PHONE, "Call & me")


def test_nothing_is_posted_before_the_application_is_installed(
    portal: Portal, client: BaseClient, handler: Handler
) -> None:
    assert client.event.bind(CLICK, handler.address).result
    portal.application.installed = False
    portal.click(1101, PHONE)
    portal.application.installed = True
    portal.click(1102, PHONE)
    assert handler.next_post()["data[USER_ID]"] == "1102"
    assert len(handler.posts) == 1
