"""`bx24 login` as an administrator meets it: a terminal, a browser that is sent on, an authorisation server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from freepbx_bx24.bitrix24.token_store import TokenStore
from freepbx_bx24.cli.redirect import Answer, from_query, read_answer
from freepbx_bx24.sandbox.portal import Portal
from tests.support.agi_script import REPOSITORY
from tests.support.in_time import in_time
from tests.support.oauth_server import CLIENT_ID, CLIENT_SECRET, OAuthServer

STATE = "the-state-of-this-login"


class Admin:
    """A machine with a YAML that names a local application, and a person who types `bx24 login`."""

    def __init__(self, folder: Path, server: OAuthServer) -> None:
        self.folder, self.server = folder, server
        self.state = folder / "state"
        self.state.mkdir()
        secret = folder / "secret"
        secret.write_text(CLIENT_SECRET)
        secret.chmod(0o640)
        self.yaml(
            f"{{url: '{server.url}', client_id: {CLIENT_ID}, client_secret_file: secret, oauth_url: '{server.url}'}}"
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.place = f"127.0.0.1:{free.getsockname()[1]}"
        self.processes: list[subprocess.Popen[str]] = []

    def yaml(self, portal: str) -> None:
        (self.folder / "bx24.yaml").write_text(f"portal: {portal}\ncountry: RU\ndefault_person: 100\npbx_id: pbx-1\n")

    def login(self, *arguments: str, scale: str = "1", **options) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "freepbx_bx24.cli.main", "login", "--listen", self.place, *arguments],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "BX24_CONFIG": str(self.folder / "bx24.yaml"),
                "BX24_STATE_DIR": str(self.state),
                "BX24_TEST_TIME_SCALE": scale,
            },
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
        )
        self.processes.append(process)
        return process

    def status(self) -> tuple[int, str]:
        process = self.login("--status")
        out, _ = process.communicate(timeout=30)
        return process.returncode, out

    @property
    def tokens(self):
        return TokenStore(self.state).read()

    def browse(self, query: str, data: bytes | None = None) -> tuple[int, str]:
        """What the browser shows that the portal has sent on."""
        try:
            with urllib.request.urlopen(f"http://{self.place}/?{query}", data, timeout=10) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    running = OAuthServer()
    yield running
    running.close()


@pytest.fixture
def admin(tmp_path: Path, server: OAuthServer) -> Iterator[Admin]:
    one = Admin(tmp_path, server)
    yield one
    for process in one.processes:
        process.kill()
        process.communicate()


def address_of(process: subprocess.Popen[str]) -> dict[str, str]:
    """The query of the address that is to be opened; the terminal has said all of its first part then."""
    found = {}
    for line in process.stdout:
        if "/oauth/authorize/?" in line:
            found = {name: values[0] for name, values in parse_qs(urlsplit(line.strip()).query).items()}
        if line.startswith("Waiting"):
            return found
    raise AssertionError(process.stderr.read())


def type_in(process: subprocess.Popen[str], line: str) -> None:
    process.stdin.write(line + "\n")
    process.stdin.flush()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    assert "S3cret" not in out + err
    return process.returncode, out, err


def redirect(code: str, state: str, **more: str) -> str:
    return urlencode(
        {
            "code": code,
            "state": state,
            "domain": "example.bitrix24.ru",
            "member_id": "0123",
            "scope": "crm,telephony,user",
            "server_domain": "oauth.bitrix.info",
            **more,
        }
    )


def test_a_pasted_address_logs_in(admin, server):
    process = admin.login()
    asked = address_of(process)
    assert asked["client_id"] == CLIENT_ID
    type_in(process, f"https://pbx.example/handler?{redirect(server.code(), asked['state'])}")
    code, out, err = ended(process)
    assert (code, err) == (0, "")
    assert "Whose token: Service Admin [31m (user 7)" in out  # without the characters that would drive the terminal
    assert "Rights: crm, telephony, user" in out
    assert "Telephony works." in out
    assert admin.tokens.access_token in server.access_tokens
    assert server.called == ["user.get", "telephony.externalLine.get"]


def test_a_bare_code_logs_in_though_its_state_is_not_known(admin, server):
    process = admin.login()
    address_of(process)
    type_in(process, f"  {server.code()}  ")
    assert ended(process)[0] == 0
    assert admin.tokens.user_id == 7


def test_the_browser_that_the_portal_sends_on_logs_in(admin, server):
    process = admin.login()
    state = address_of(process)["state"]
    assert admin.browse("")[0] == 404
    status, page = admin.browse(redirect(server.code(), state))
    assert (status, "The code has arrived" in page, "S3cret" in page) == (200, True, False)
    assert ended(process)[0] == 0
    with pytest.raises(OSError):
        socket.create_connection(tuple(admin.place.split(":")), timeout=1)


def test_a_whole_login_at_the_sandboxs_portal_is_one_address_opened_in_a_browser(admin):
    with Portal() as portal:
        portal.application.handler_url = f"http://{admin.place}/"
        (admin.folder / "secret").write_text(portal.application.client_secret)
        client_id = portal.application.client_id
        admin.yaml(
            f"{{url: '{portal.url}', client_id: {client_id}, client_secret_file: secret, oauth_url: '{portal.url}'}}"
        )
        process = admin.login()
        query = urlencode(address_of(process))
        with urllib.request.urlopen(f"{portal.url}/oauth/authorize/?{query}", timeout=10) as page:
            assert "The code has arrived" in page.read().decode()
        code, out, err = ended(process)
    assert (code, err) == (0, "")
    assert "(user 1)" in out
    assert "Telephony works." in out
    assert portal.application.client_secret not in out
    assert admin.tokens.refresh_token not in out


def test_an_input_that_ends_leaves_the_listener(admin, server):
    process = admin.login(stdin=subprocess.DEVNULL)
    state = address_of(process)["state"]
    time.sleep(0.2)
    assert admin.browse(redirect(server.code(), state))[0] == 200
    assert ended(process)[0] == 0


def test_a_busy_port_leaves_the_keyboard(admin, server):
    host, port = admin.place.split(":")
    with socket.create_server((host, int(port))):
        process = admin.login()
        asked = address_of(process)
        type_in(process, f"http://x/?{redirect(server.code(), asked['state'])}")
        code, _, err = ended(process)
    assert code == 0
    assert "Nothing can listen" in err


def test_a_wrong_state_is_refused_both_ways_and_the_right_one_is_still_taken(admin, server):
    process = admin.login()
    state = address_of(process)["state"]
    assert admin.browse(redirect(server.code(), "x" * len(state)))[0] == 400
    assert admin.browse(urlencode({"code": server.code()}))[0] == 400
    type_in(process, f"http://x/?{redirect(server.code(), 'other')}")
    type_in(process, "what is this?")
    refusal = redirect("", state, error="access_denied", error_description="No\x1b[31m right")
    type_in(process, f"http://x/?{refusal}")
    assert admin.browse(redirect(server.code(), state), data=b"posted")[0] == 405
    assert server.asked == []
    type_in(process, f"http://x/?{redirect(server.code(), state)}")
    code, out, _ = ended(process)
    assert code == 0
    assert out.count("Not taken: this address belongs to another login") == 3
    assert "Not taken: this is neither a code nor an address with one." in out
    assert "Not taken: the portal did not agree: No [31m right." in out
    assert len(server.asked) == 1


def test_an_expired_code_says_that_it_lives_30_seconds(admin, server):
    process = admin.login()
    address_of(process)
    type_in(process, "S3cretCodeThatIsTooOld")
    code, _, err = ended(process)
    assert (code, "30 seconds" in err) == (1, True)
    assert admin.tokens is None


def test_an_expired_code_does_not_spoil_a_login_that_works(admin, server):
    first = admin.login()
    address_of(first)
    type_in(first, server.code())
    assert ended(first)[0] == 0
    held = admin.tokens
    second = admin.login()
    address_of(second)
    type_in(second, "S3cretCodeThatIsTooOld")
    assert ended(second)[0] == 1
    assert admin.tokens == held


def test_a_wrong_secret_names_the_file(admin, server):
    (admin.folder / "secret").write_text("S3cretButWrong")
    process = admin.login()
    address_of(process)
    type_in(process, server.code())
    code, _, err = ended(process)
    assert (code, "--client-secret-file" in err) == (1, True)


def test_nobody_who_comes_in_ten_minutes_is_waited_for_no_longer(admin):
    started = time.monotonic()
    process = admin.login(scale="0.002")  # 1.2 s
    address_of(process)
    code, _, err = ended(process)
    assert (code, "no code has come" in err) == (1, True)
    took = time.monotonic() - started
    assert took > 1
    in_time(took, 10)


def test_neither_a_keyboard_nor_a_port_is_the_end_at_once(admin):
    host, port = admin.place.split(":")
    with socket.create_server((host, int(port))):
        process = admin.login(stdin=subprocess.DEVNULL)
        assert ended(process)[0] == 1


def test_visitors_who_send_nothing_or_too_much_do_not_hold_the_login(admin, server):
    process = admin.login()
    state = address_of(process)["state"]
    place = tuple(admin.place.split(":"))
    with contextlib.ExitStack() as open_ones:
        for _ in range(30):
            open_ones.enter_context(socket.create_connection(place, timeout=5))
        flood = open_ones.enter_context(socket.create_connection(place, timeout=5))
        with contextlib.suppress(OSError):
            flood.sendall(b"GET /?" + b"x" * 1_000_000)
        nonsense = open_ones.enter_context(socket.create_connection(place, timeout=5))
        nonsense.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert b"405" in nonsense.recv(1000)
        assert admin.browse(redirect(server.code(), state))[0] == 200
    assert ended(process)[0] == 0


def test_a_folder_that_takes_no_token_is_said_before_anybody_logs_in(admin):
    (admin.state / "token.lock").mkdir()
    code, out, err = ended(admin.login())
    assert (code, "oauth/authorize" in out) == (1, False)
    assert f"{admin.state}/token.lock: Is a directory" in err


def test_rights_that_are_missing_are_told_with_what_they_cost(admin, server):
    server.scope = "telephony"
    process = admin.login()
    address_of(process)
    type_in(process, server.code())
    code, out, err = ended(process)
    assert code == 1
    assert "The right user is missing: employees can't be found" in err
    assert "The right crm is missing: clients are neither found nor made" in err
    assert "Telephony works." in out
    assert server.called == ["telephony.externalLine.get"]


def test_a_portal_that_does_not_allow_telephony_is_told(admin, server):
    server.method = lambda name, parameters: (403, b'{"error": "WRONG_LICENSE", "error_description": "not enabled"}')
    process = admin.login()
    address_of(process)
    type_in(process, server.code())
    code, _, err = ended(process)
    assert (code, "Telephony does not work" in err) == (1, True)
    assert admin.tokens is not None


def test_the_status_says_who_is_logged_in_and_asks_nobody(admin, server):
    code, said = admin.status()
    assert code == 1
    assert "nobody has logged in yet" in said
    process = admin.login()
    address_of(process)
    type_in(process, server.code())
    ended(process)
    asked = len(server.asked) + len(server.called)
    code, said = admin.status()
    assert code == 0
    assert re.search(
        r"Whose token: user 7\nRights:      crm, telephony, user\nValid for:   (59|60) minutes, then", said
    )
    assert "State:       alive" in said
    kept = json.loads((admin.state / "token.json").read_text())
    (admin.state / "token.json").write_text(json.dumps({**kept, "dead": "invalid_grant", "expires": 1.0}))
    code, said = admin.status()
    assert code == 1
    assert "no longer" in said
    assert "dead: the portal has taken the token back (invalid_grant)" in said
    assert "S3cret" not in said
    admin.yaml(f"{{url: '{server.url}', client_id: local.other, client_secret_file: secret}}")
    assert "another application" in admin.status()[1]
    assert len(server.asked) + len(server.called) == asked


def test_with_a_webhook_alone_it_says_what_to_write(admin):
    webhook = admin.folder / "webhook"
    webhook.write_text("https://example.bitrix24.com/rest/1/S3cretS3cret/")
    webhook.chmod(0o640)
    admin.yaml("{webhook_file: webhook}")
    code, _, err = ended(admin.login())
    assert code == 1
    for word in ("url:", "client_id:", "client_secret_file:", "install.sh --portal-url"):
        assert word in err


@pytest.mark.parametrize("place", ["8925", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "[::1:80", "a b:80"])
def test_a_place_to_listen_at_that_is_none_is_a_wrong_command_line(admin, place):
    code, _, err = ended(admin.login("--listen", place))
    assert (code, "HOST:PORT" in err) == (2, True)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("0123456789abcdef", Answer("0123456789abcdef")),
        (f"http://127.0.0.1:8925/?code=0123456789&state={STATE}", Answer("0123456789")),
        (
            f"'https://a/?state={STATE}&code=0123456789&server_domain=oauth.bitrix.info' \r",
            Answer("0123456789", "oauth.bitrix.info"),
        ),
        (f"?code=0123456789&state={STATE}", Answer("0123456789")),
    ],
)
def test_an_answer_is_an_address_or_a_code(typed, expected):
    assert read_answer(typed, STATE) == expected


@pytest.mark.parametrize(
    "typed",
    ["", "y", "http://[", "http://a/", "\x00", "0123456789 abc", f"?state={STATE}", f"?code=a b&state={STATE}"]
    + [f"?code={'x' * 2000}&state={STATE}", f"?state={STATE}\udcff&code=0123456789", "?code=0123456789&state="]
    + ["?" + "a=b&" * 1000],
)
def test_what_is_no_answer_is_refused_in_words_that_do_not_repeat_it(typed):
    with pytest.raises(ValueError) as refused:
        read_answer(typed, STATE)
    assert str(refused.value).isprintable()
    assert "0123456789" not in str(refused.value)


def test_an_answer_does_not_show_its_code():
    assert "0123456789" not in repr(from_query(f"code=0123456789&state={STATE}", STATE))
