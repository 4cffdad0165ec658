"""`bx24 events` says whether clicks and forms would arrive, and what mends it; and what must not be reachable."""

from __future__ import annotations

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Iterator

import pytest

from freepbx_bx24.bitrix24 import exposure
from freepbx_bx24.bitrix24.events import CALLBACK, CLICK
from freepbx_bx24.bitrix24.exposure import ADMIN, MARK, Place
from freepbx_bx24.cli.main import main
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.service import event_token
from freepbx_bx24.settings import load
from tests.support.events_service import ON, Lane

PATH = "/bx24/events"


class Typed:
    """What `bx24 events ...` says and how it ends."""

    def __init__(self, lane: Lane, capsys: pytest.CaptureFixture[str]) -> None:
        self.lane, self._capsys = lane, capsys

    def events(self, *words: str) -> tuple[int, str]:
        self._capsys.readouterr()
        code = main(["events", *words])
        out, err = self._capsys.readouterr()
        return code, out + err


@pytest.fixture
def typed(
    portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Typed]:
    monkeypatch.setenv("BX24_STATE_DIR", str(tmp_path / "state"))
    lane = Lane(portal, tmp_path, monkeypatch)
    yield Typed(lane, capsys)
    lane.stop()


@contextlib.contextmanager
def web_server(pages: dict[str, bytes]) -> Iterator[int]:
    """A web server of this machine with these pages; its port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in pages else 404)
            self.end_headers()
            self.wfile.write(pages.get(self.path, b""))

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# -- bind, list, unbind ----------------------------------------------------------------------------------------------


def test_it_binds_lists_and_unbinds(typed: Typed, portal: Portal) -> None:
    code, said = typed.events()
    assert (code, said.splitlines()) == (
        0,
        ["The portal tells us of no clicks and no callback forms.", "0 events wait in the queue."],
    )
    code, said = typed.events("bind")
    assert (code, said) == (0, f"Bound: {CALLBACK}, the queue\nBound: {CLICK}, the queue\n")
    assert typed.events("bind") == (0, "Nothing to do: all is bound as the configuration says.\n")
    portal.click(1101, "+79160000555")
    code, said = typed.events("list")
    assert said.splitlines() == [
        f"{CALLBACK}: kept in the queue",
        f"{CLICK}: kept in the queue",
        "1 event waits in the queue.",
    ]
    code, said = typed.events("unbind")
    assert code == 0
    assert said.splitlines()[-1] == (
        "Clicks or callbacks are on: a running service binds them again within ten minutes."
    )
    assert portal.ledger()["bindings"] == []


def test_bind_has_the_portals_signature_learned_anew(typed: Typed, portal: Portal) -> None:
    typed.lane.write(ON + f"events: {{address: 'https://pbx.example.com{PATH}'}}")
    state = typed.lane.runtime.state
    event_token.keep(state, portal.application.client_id, "t" * 32)
    code, said = typed.events("bind")
    assert (code, "is learned from the next event" in said) == (0, True)
    assert event_token.read(state, portal.application.client_id) == ""


@pytest.mark.parametrize("what", ["bind", "test"])
def test_nothing_is_bound_or_tested_while_clicks_and_callbacks_are_off(typed: Typed, what: str) -> None:
    typed.lane.write("")
    code, said = typed.events(what)
    assert (code, said.splitlines()) == (
        1,
        [
            "clicks and callbacks are off: no events are needed",
            "Switch clicks or callbacks on in the configuration first.",
        ],
    )


# -- the test --------------------------------------------------------------------------------------------------------


def test_what_is_not_bound_is_said_with_the_line_to_type(typed: Typed) -> None:
    code, said = typed.events("test")
    assert code == 1
    assert f"BAD the portal does not tell of {CALLBACK}, {CLICK}\n    -> bx24 events bind\n" in said


def test_where_all_is_right_it_says_so(typed: Typed) -> None:
    typed.events("bind")
    assert typed.events("test") == (
        0,
        f"ok  the portal tells of {CALLBACK}, {CLICK}: asked for by the service\nok  0 events wait in the portal\n",
    )


def test_a_plan_that_reserves_nothing_is_mentioned(typed: Typed, portal: Portal) -> None:
    portal.switches.offline_extended = False
    typed.events("bind")
    code, said = typed.events("test")
    assert (code, "its plan does not reserve them" in said) == (0, True)


def test_somebody_who_is_no_administrator_is_told_who_must_log_in(typed: Typed, portal: Portal) -> None:
    portal.world.employees[0].admin = False
    code, said = typed.events("bind")
    assert code == 1
    assert "as an administrator of the portal" in said


def test_a_webhook_is_told_to_become_an_application(typed: Typed, portal: Portal) -> None:
    secret = typed.lane.folder / "webhook"
    secret.write_text(portal.webhook_url)
    secret.chmod(0o600)
    text = typed.lane.yaml.read_text().splitlines()
    typed.lane.yaml.write_text("\n".join([f"portal: {{webhook_file: {secret}}}", *text[1:]]))
    code, said = typed.events("test")
    assert (code, said.splitlines()[0]) == (1, "BAD clicks and callbacks are on, but a webhook gets no events")


def test_the_whole_way_of_a_post_is_looked_at(typed: Typed, portal: Portal) -> None:
    port = free_port()
    typed.lane.write(ON + f"events: {{address: 'http://127.0.0.1:{port}{PATH}', port: {port}}}")
    code, said = typed.events("test")
    assert (code, f"BAD the handler does not listen on 127.0.0.1:{port}" in said) == (1, True)
    typed.lane.runtime.use(load())
    typed.lane.lane.turn()
    code, said = typed.events("test")
    assert (code, said.splitlines()) == (
        0,
        [
            f"ok  the handler listens on 127.0.0.1:{port}",
            f"ok  no web server that shows FreePBX's pages passes {PATH} on",
            f"ok  the portal tells of {CALLBACK}, {CLICK}: posted to http://127.0.0.1:{port}{PATH}",
            f"ok  http://127.0.0.1:{port}{PATH} answers 403 to an unsigned post",
            "ok  the portal's signature is learned from the first event that the portal vouches for",
        ],
    )


# -- what must not be reachable --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pages, is_exposed",
    [
        ({PATH: MARK, ADMIN: b"FreePBX"}, True),
        ({PATH: MARK}, False),
        ({ADMIN: b"FreePBX"}, False),
        ({}, False),
    ],
)
def test_the_handler_behind_freepbxs_own_web_server_is_a_fault(pages: dict[str, bytes], is_exposed: bool) -> None:
    with web_server(pages) as port:
        place = Place(port, False, "127.0.0.1")
        found = list(exposure.exposed(f"https://pbx.example.com:8443{PATH}", (place,)))
    assert bool(found) == is_exposed
    assert {one.port for one in found} <= {port}


def test_check_says_so_with_what_mends_it(typed: Typed) -> None:
    with web_server({PATH: MARK, ADMIN: b"FreePBX"}) as port:
        typed.lane.write(ON + f"events: {{address: 'http://127.0.0.1:{port}{PATH}', port: {port}}}")
        code, said = typed.events("test")
    assert code == 1
    assert f"BAD the web server on port {port} shows FreePBX's pages and passes {PATH} on as well" in said
    assert "a virtual host and a port of their own" in said


def test_nobody_who_answers_is_nobody_who_shows_anything() -> None:
    assert exposure.ask(Place(free_port(), True, "127.0.0.1"), PATH) == b""
