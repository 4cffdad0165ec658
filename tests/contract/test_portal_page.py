"""The portal's page at its front door: who comes in, what is told, what is played, what is switched."""

from __future__ import annotations

import base64
import re
import socket
from pathlib import Path
from typing import Iterator

import pytest
import requests
from page_client import SECONDS, Browser
from portal_client import PHONE, Client

from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.portal.page import Page, feed, switchboard
from freepbx_bx24.sandbox.portal.page import server as page_server
from freepbx_bx24.sandbox.portal.page.door import POLICY, STATIC
from freepbx_bx24.sandbox.portal.page.reach import started_page, ways_in

HOSTILE = "<img src=x onerror=alert(1)>\n\nevent: changes\ndata: {}\n\n\u2028"
SOUND = b"RIFF\x24\x00\x00\x00WAVE" + bytes(range(200))


@pytest.fixture
def page(portal: Portal) -> Iterator[Page]:
    with Page(portal) as page:
        yield page


@pytest.fixture
def browser(page: Page) -> Browser:
    return Browser(page)


def host_of(address: str) -> str:
    return address.split("/")[2]


# -- who comes in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{}", "192.0.2.1:{}", "[::1", "", "127.0.0.1.evil.example"]
)
def test_a_name_that_was_made_to_point_here_gets_nothing(page: Page, host: str) -> None:
    answer = requests.get(page.url, headers={"Host": host.format(page.port)}, timeout=SECONDS)
    assert (answer.status_code, "action-token" in answer.text) == (403, False)


def test_the_end_of_a_tunnel_is_one_of_its_own_names(page: Page) -> None:
    for name in ("localhost:9000", "127.0.0.1:9000", "[::1]:9000"):
        assert requests.get(page.url, headers={"Host": name}, timeout=SECONDS).status_code == 200


def test_every_answer_forbids_what_is_not_the_pages_own(page: Page) -> None:
    for path, status in (
        ("", 200),
        ("page.js", 200),
        ("page.css", 200),
        ("icon.svg", 200),
        ("nothing", 404),
        ("rest/", 404),
    ):
        answer = requests.get(page.url + path, timeout=SECONDS)
        assert answer.status_code == status
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
    assert "unsafe" not in POLICY
    assert POLICY.startswith("default-src 'none'")


def test_its_files_ask_nobody_else_for_anything_and_make_no_html_of_text() -> None:
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(
            r"https?:|//[a-z]+\.|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text
        ), path
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?! type=\"module\" src=\"/page.js\">)", text), path


class TestOpenToOthers:
    @pytest.fixture
    def page(self, portal: Portal) -> Iterator[Page]:
        with Page(portal, open_to_others=True) as page:
            yield page

    @pytest.mark.parametrize("path", ["", "?token=", "?token=wrong", "changes", "recordings/1", "page.js"])
    def test_without_the_printed_word_there_is_nothing(self, page: Page, path: str) -> None:
        answer = requests.get(f"http://{host_of(page.url)}/{path}", timeout=SECONDS)
        assert answer.status_code == 403
        assert page.entry.visitor_token not in answer.text

    def test_the_word_becomes_a_cookie_and_leaves_the_address(self, page: Page) -> None:
        with requests.Session() as session:
            first = session.get(page.url, timeout=SECONDS, allow_redirects=False)
            assert (first.status_code, first.headers["Location"]) == (303, "/")
            assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(first.headers["Set-Cookie"].split("; "))
            assert "action-token" in session.get(f"http://{host_of(page.url)}/", timeout=SECONDS).text

    def test_a_wrong_cookie_is_no_cookie(self, page: Page) -> None:
        for cookie in ("sandbox_page=wrong", 'sandbox_page="', "sandbox_page=\xff", "other=1"):
            answer = requests.get(
                f"http://{host_of(page.url)}/", headers={"Cookie": cookie.encode("latin-1")}, timeout=SECONDS
            )
            assert answer.status_code == 403

    def test_it_is_asked_by_any_address_but_by_no_name(self, page: Page) -> None:
        cookie = {"Cookie": f"sandbox_page={page.entry.visitor_token}"}
        for host, status in (("192.0.2.1:80", 200), ("[2001:db8::1]", 200), ("evil.example", 403)):
            answer = requests.get(f"http://{host_of(page.url)}/", headers={**cookie, "Host": host}, timeout=SECONDS)
            assert answer.status_code == status


def test_what_is_printed_leads_to_the_page_and_says_the_way_through_ssh(portal: Portal) -> None:
    with started_page(portal) as page:
        lines = ways_in(page)
        assert requests.get(lines[0], timeout=SECONDS).status_code == 200
        assert f"ssh -L {page.port}:127.0.0.1:{page.port} " in lines[1]
    with started_page(portal, "0.0.0.0") as page:
        lines = ways_in(page)
        assert re.fullmatch(rf"http://\d+\.\d+\.\d+\.\d+:{page.port}/\?token=[\w-]{{32}}", lines[0])
        assert "0.0.0.0" not in lines[0]


# -- what a person does ------------------------------------------------------------------------------------------------

REFUSED = {
    "another site": {"Origin": "http://evil.example"},
    "a file": {"Origin": "null"},
    "the same name over https": {"Origin": "https://127.0.0.1"},
    "another port of this machine": {"Origin": "http://127.0.0.1:1"},
    "no origin": {"Origin": None},
    "no token": {"X_Action_Token": None},
    "a wrong token": {"X_Action_Token": "wrong"},
    "a form": {"Content_Type": "application/x-www-form-urlencoded"},
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
def test_only_the_page_itself_changes_anything(
    browser: Browser, portal: Portal, headers: dict[str, str | None]
) -> None:
    assert browser.act("trouble", {"name": "slow", "on": True}, **headers).status_code in (403, 415)
    assert portal.interference.slow_seconds == 0


@pytest.mark.parametrize(
    ("path", "given", "status"),
    [
        ("trouble", {"name": "fire", "on": True}, 400),
        ("trouble", {"name": "slow", "on": "yes"}, 400),
        ("trouble", {"name": ["slow"], "on": True}, 400),
        ("click", {"user_id": True, "number": PHONE}, 400),
        ("click", {"user_id": -1, "number": PHONE}, 400),
        ("click", {"user_id": 1101, "number": ["+7"]}, 400),
        ("click", {"user_id": 1101, "number": "1" * 201}, 400),
        ("callback", {"number": 7}, 400),
        ("callback", {"number": "1" * 5000}, 413),
        ("nothing", {}, 404),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(
    browser: Browser, path: str, given: dict[str, object], status: int
) -> None:
    answer = browser.act(path, given)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_click_that_nobody_listens_to_says_what_is_missing(browser: Browser) -> None:
    answer = browser.act("click", {"user_id": 1101, "number": PHONE})
    assert answer.status_code == 409
    assert "event.bind" in answer.json()["error"]


def test_a_click_and_a_callback_form_reach_the_portal(browser: Browser, portal: Portal, client: Client) -> None:
    for event in ("ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART"):
        client.result("event.bind", "oauth", event=event, event_type="offline")
    given = {"user_id": 1101, "number": PHONE, "entity_type": "CONTACT", "entity_id": 42}
    call_id = browser.act("click", given).json()["call_id"]
    assert browser.act("callback", {"number": PHONE, "text": HOSTILE}).status_code == 200
    with browser.changes() as changes:
        call = changes.until(f"call:{call_id}")
    assert (call["direction"], call["client"], call["cards"][0]["user_id"]) == ("outgoing", "Anna Petrova", 1101)
    events = [event["EVENT_NAME"] for event in portal.ledger()["offline_events"]]
    assert events == ["ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART"]


# -- what is told ------------------------------------------------------------------------------------------------------


def test_hostile_names_are_told_as_text_of_one_line(browser: Browser, portal: Portal, client: Client) -> None:
    portal.world.entity("CONTACT", 42).name = HOSTILE  # type: ignore[union-attr]
    call_id = client.register(PHONE_NUMBER="+74951234567")["CALL_ID"]
    client.finish(call_id, DURATION=0, STATUS_CODE="304", FAILED_REASON=HOSTILE)
    with browser.changes() as changes:
        told = changes.next()
    assert told["items"]["client:CONTACT:42"]["name"] == HOSTILE
    assert told["items"][f"call:{call_id}"]["client"] == HOSTILE
    assert told["items"][f"call:{call_id}"]["reason"] == HOSTILE
    assert "onerror" not in browser.page_text


def test_a_call_is_told_as_it_goes_on(browser: Browser, client: Client) -> None:
    with browser.changes() as changes:
        assert changes.next()["whole"]
        call_id = client.register(LINE_NUMBER="+74957770101")["CALL_ID"]
        call = changes.until(f"call:{call_id}")
        assert (call["open"], call["outcome"], call["talk_seconds"]) == (True, "In progress", None)
        client.result("telephony.externalCall.hide", CALL_ID=call_id, USER_ID=1101)
        client.result("telephony.externalCall.show", CALL_ID=call_id, USER_ID=[1102])
        cards = {}
        while not cards.get(1102):
            cards = {card["user_id"]: card["shown"] for card in changes.until(f"call:{call_id}")["cards"]}
        assert cards == {1101: False, 1102: True}
        client.finish(call_id, USER_ID=1102, DURATION=0, STATUS_CODE="603-S", FAILED_REASON="the caller hung up")
        call = changes.until(f"call:{call_id}")
    assert (call["open"], call["outcome"], call["reason"], call["person"]) == (
        False,
        "Cancelled",
        "the caller hung up",
        1102,
    )


def test_who_comes_back_hears_what_was_missed_and_nothing_else(browser: Browser, client: Client) -> None:
    known = client.register()["CALL_ID"]
    with browser.changes() as changes:
        changes.next()
    missed = client.register(PHONE_NUMBER="+79160000001", CRM_CREATE=0)["CALL_ID"]
    with browser.changes(changes.version) as resumed:
        told = resumed.next()
    assert (told["whole"], set(told["items"])) == (False, {f"call:{missed}"})
    assert f"call:{known}" not in told["items"]


def test_who_was_away_while_the_portal_forgot_hears_that_it_is_gone(
    browser: Browser, portal: Portal, client: Client
) -> None:
    call_id = client.register()["CALL_ID"]
    with browser.changes() as changes:
        changes.next()
    portal.reset()
    with browser.changes(changes.version) as resumed:
        told = resumed.next()
    assert (told["whole"], told["items"]) == (False, {f"call:{call_id}": None})


@pytest.mark.parametrize("version", ["of.another", "0123456789abcdef.7", "x", "." * 999, "{}9"])
def test_a_version_that_is_not_its_own_gets_everything(browser: Browser, version: str) -> None:
    with browser.changes() as changes:
        everything = changes.next()["items"]
    with browser.changes(version.format(changes.version)) as again:
        told = again.next()
    assert told["whole"]
    assert told["items"] == everything


def test_what_is_gone_for_long_is_forgotten_and_then_everything_is_told_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST_GONE", 2)
    one = feed.Feed()
    one.update({"kept": 1, **dict.fromkeys("abc", 1)})
    early = one.since("").version
    one.update({"kept": 1})
    assert one.since(early) == (one.since("").version, True, {"kept": 1})
    late = one.since("").version
    assert one.since(late) == (late, False, {})


def test_more_browsers_than_it_serves_are_refused_until_one_leaves(
    browser: Browser, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_server, "ALIVE_SECONDS", 0.1)  # so that a browser that left is noticed
    streams = [browser.changes() for _ in range(page_server.MOST_STREAMS)]
    assert requests.get(f"{page.url}changes", timeout=SECONDS).status_code == 503
    for stream in streams:
        stream.close()
    while True:
        with requests.get(f"{page.url}changes", stream=True, timeout=SECONDS) as answer:
            if answer.status_code == 200:
                break


def test_a_stop_ends_the_streams_and_the_page(portal: Portal) -> None:
    page = Page(portal).start()
    with Browser(page).changes() as changes:
        changes.next()
        page.stop()
        with pytest.raises((AssertionError, OSError)):
            changes.next()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", page.port), SECONDS)


# -- recordings --------------------------------------------------------------------------------------------------------


class TestRecording:
    @pytest.fixture
    def address(self, page: Page, client: Client) -> str:
        call_id = client.finished_call()
        content = base64.b64encode(SOUND).decode()
        client.result("telephony.externalCall.attachRecord", CALL_ID=call_id, FILENAME="call.wav", FILE_CONTENT=content)
        return f"{page.url}recordings/{call_id}"

    def test_it_is_sent_whole_as_sound(self, address: str) -> None:
        answer = requests.get(address, timeout=SECONDS)
        assert (answer.status_code, answer.content) == (200, SOUND)
        assert (answer.headers["Content-Type"], answer.headers["Accept-Ranges"]) == ("audio/wav", "bytes")

    @pytest.mark.parametrize(
        ("asked", "first", "last"), [("bytes=0-", 0, 211), ("bytes=100-149", 100, 149), ("bytes=-5", 207, 211)]
    )
    def test_a_player_gets_the_range_that_it_asks_for(self, address: str, asked: str, first: int, last: int) -> None:
        answer = requests.get(address, headers={"Range": asked}, timeout=SECONDS)
        assert (answer.status_code, answer.content) == (206, SOUND[first : last + 1])
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(SOUND)}"

    def test_behind_its_end_there_is_nothing(self, address: str) -> None:
        assert requests.get(address, headers={"Range": "bytes=500-"}, timeout=SECONDS).status_code == 416

    @pytest.mark.parametrize("name", ["", "unknown", "../page.js", "%00", "..%2f..%2fserver.py"])
    def test_another_name_is_not_found(self, page: Page, name: str) -> None:
        request = requests.Request("GET", page.url).prepare()
        request.url = f"{page.url}recordings/{name}"
        with requests.Session() as session:
            assert session.send(request, timeout=SECONDS).status_code == 404


# -- troubles ----------------------------------------------------------------------------------------------------------


def test_the_page_stays_while_the_portal_is_down(browser: Browser, portal: Portal, client: Client) -> None:
    assert browser.act("trouble", {"name": "down", "on": True}).json()["down"]
    with pytest.raises(requests.ConnectionError):
        client.result("profile")
    with browser.changes() as changes:
        assert changes.next()["items"]["troubles"]["down"]
    assert browser.act("trouble", {"name": "down", "on": False}).json() == dict.fromkeys(
        ("down", "slow", "limited", "expired"), False
    )
    assert client.result("profile")["ID"] == "1"


def test_each_request_waits_where_the_portal_is_slow(
    browser: Browser, portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "SLOW_SECONDS", 0.3)
    browser.act("trouble", {"name": "slow", "on": True})
    started = portal.now()
    client.result("profile")
    assert portal.now() - started >= 0.3
    browser.act("trouble", {"name": "slow", "on": False})
    assert portal.interference.slow_seconds == 0


def test_two_refusals_at_once_are_one_after_the_other(browser: Browser, client: Client) -> None:
    browser.act("trouble", {"name": "expired", "on": True})
    assert client.refusal("profile")[:2] == (401, "expired_token")
    assert browser.act("trouble", {"name": "limited", "on": True}).json()["expired"]
    assert client.refusal("profile")[:2] == (503, "QUERY_LIMIT_EXCEEDED")
    browser.act("trouble", {"name": "limited", "on": False})
    assert client.refusal("profile")[:2] == (401, "expired_token")
    browser.act("trouble", {"name": "expired", "on": False})
    assert client.result("profile")["ID"] == "1"


def test_the_files_of_the_page_are_part_of_the_package() -> None:
    declared = (Path(__file__).parents[2] / "setup.cfg").read_text(encoding="utf-8")
    assert "freepbx_bx24.sandbox.portal.page =\n    static/*\n" in declared
