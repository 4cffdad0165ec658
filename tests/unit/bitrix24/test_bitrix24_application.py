"""A local application: one renewal for everybody, none that is lost, none that anybody waits for too long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from freepbx_bx24.bitrix24 import application as application_module
from freepbx_bx24.bitrix24.application import ApplicationAccess, endpoint
from freepbx_bx24.bitrix24.oauth import Application, OAuth
from freepbx_bx24.bitrix24.token_store import FILE, HIDDEN, TokenStore
from freepbx_bx24.bitrix24.tokens import Tokens, fingerprint, from_grant, from_json, to_json
from freepbx_bx24.bitrix24.transport import Transport
from freepbx_bx24.errors import LoginNeeded, PortalAuthorisation, PortalUnreachable
from tests.support.in_time import in_time
from tests.support.oauth_server import CLIENT_ID, CLIENT_SECRET, OAuthServer

ROOT = Path(__file__).parents[3]
FINGERPRINT = fingerprint(CLIENT_ID)


@pytest.fixture
def server():
    running = OAuthServer()
    yield running
    running.close()


@pytest.fixture
def store(tmp_path):
    return TokenStore(tmp_path)


def oauth(server, secret=CLIENT_SECRET, client_id=CLIENT_ID):
    return OAuth(Transport(), Application(client_id, secret), server.url, server.url)


def access(server, store, **options):
    return ApplicationAccess(server.url, oauth(server, **options), store)


def log_in(server, store, age=0.0) -> Tokens:
    """A pair that was received `age` seconds ago."""
    grant = oauth(server).exchange(server.code(), 5)
    tokens = from_grant(grant, FINGERPRINT, None, time.time() - age)
    store.keep(tokens)
    return store.read()


def token_of(key) -> str:
    return key.parameters["auth"]


def test_the_key_says_where_the_request_goes_what_it_shows_and_what_to_blot_out(server, store):
    held = log_in(server, store)
    key = access(server, store).key(1)
    assert (key.origin, key.path, dict(key.parameters)) == (server.url, "/rest/", {"auth": held.access_token})
    assert set(key.secrets) == {held.access_token, held.refresh_token}
    assert "S3cret" not in repr(key) + repr(held)


def test_without_a_login_nothing_is_asked_and_the_command_is_named(server, store):
    with pytest.raises(LoginNeeded, match="nobody has logged in") as refused:
        access(server, store).key(1)
    assert "bx24 login" in refused.value.hint
    assert server.asked == []


def test_a_login_is_noticed_by_a_running_service(server, store):
    running = access(server, store)
    with pytest.raises(LoginNeeded):
        running.key(1)
    held = log_in(server, store)
    time.sleep(application_module.LOOK_SECONDS)
    assert token_of(running.key(1)) == held.access_token


def test_a_changed_application_makes_the_old_token_void(server, store):
    log_in(server, store)
    with pytest.raises(LoginNeeded, match="another application"):
        access(server, store, client_id="local.other").key(1)


def test_two_hundred_threads_with_an_expired_token_make_one_refresh(server, store):
    log_in(server, store, age=4000)
    server.delay = 0.2
    running = access(server, store)
    with ThreadPoolExecutor(200) as threads:
        keys = list(threads.map(lambda _: running.key(10), range(200)))
    assert len({token_of(key) for key in keys}) == 1
    assert server.refreshes == 1
    assert token_of(keys[0]) == store.read().access_token


def test_two_hundred_threads_whose_token_is_refused_make_one_refresh(server, store):
    log_in(server, store)
    running = access(server, store)
    refused = running.key(1)
    server.expire()
    with ThreadPoolExecutor(200) as threads:
        keys = list(threads.map(lambda _: running.renewed(refused, 10), range(200)))
    assert {token_of(key) for key in keys} == server.access_tokens
    assert server.refreshes == 1


PROCESS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tests.unit.bitrix24.test_bitrix24_application import *
url, folder = sys.argv[1:]
application = OAuth(Transport(), Application(CLIENT_ID, CLIENT_SECRET), url, url)
running = ApplicationAccess(url, application, TokenStore(Path(folder)))
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(25) as threads:
    print(*{token_of(key) for key in threads.map(lambda _: running.key(20), range(25))})
"""


def test_two_hundred_threads_of_eight_processes_make_one_refresh(server, store, tmp_path):
    log_in(server, store, age=4000)
    server.delay = 0.3
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, server.url, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert said == {store.read().access_token}
    assert server.refreshes == 1


def test_shortly_before_the_end_nobody_waits_and_the_token_is_renewed_beside(server, store):
    held = log_in(server, store, age=3570)
    server.delay = 1.0
    running = access(server, store)
    started = time.monotonic()
    assert token_of(running.key(5)) == held.access_token
    in_time(time.monotonic() - started, 0.8)
    running.settle(5)
    assert token_of(running.key(5)) == store.read().access_token != held.access_token
    assert server.refreshes == 1


def test_a_caller_whose_time_is_up_leaves_and_the_refresh_goes_on(server, store):
    log_in(server, store, age=4000)
    server.delay = 1.5
    running = access(server, store)
    started = time.monotonic()
    with pytest.raises(PortalUnreachable) as refused:
        running.key(0.1)
    in_time(time.monotonic() - started, 1.2)
    assert refused.value.retryable
    assert not refused.value.ambiguous
    assert token_of(running.key(5)) == store.read().access_token
    assert server.refreshes == 1


@pytest.mark.parametrize("jump", [-86400.0, 86400.0], ids=["set back", "set forward"])
def test_a_token_of_which_nobody_can_tell_its_age_is_renewed(server, store, jump):
    log_in(server, store, age=jump)
    access(server, store).key(5)
    assert server.refreshes == 1


def test_in_a_running_process_the_wall_clock_does_not_matter(server, store, monkeypatch):
    held = log_in(server, store)
    running = access(server, store)
    running.key(1)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 10**6)
    assert token_of(running.key(1)) == held.access_token


def test_a_token_that_another_process_has_renewed_is_taken_without_a_refresh(server, store):
    log_in(server, store)
    running, other = access(server, store), access(server, store)
    refused = running.key(1)
    newer = other.renewed(refused, 5)
    assert token_of(running.renewed(refused, 5)) == token_of(newer)
    assert server.refreshes == 1


def test_a_grant_that_is_dead_stops_at_once_and_without_the_network_until_the_file_changes(server, store):
    log_in(server, store, age=4000)
    server.revoke()
    running = access(server, store)
    with pytest.raises(LoginNeeded):
        running.key(5)
    asked = len(server.asked)
    for process in (running, access(server, store)):
        with pytest.raises(LoginNeeded, match="taken the token back") as refused:
            process.key(5)
        assert "bx24 login" in refused.value.hint
    assert len(server.asked) == asked
    assert store.read().dead == "invalid_grant"
    assert store.read().refresh_token
    held = log_in(server, store)
    time.sleep(application_module.LOOK_SECONDS)
    assert token_of(running.key(5)) == held.access_token


def test_an_invalid_grant_with_a_newer_pair_on_disk_takes_that(server, store, tmp_path):
    held = log_in(server, store, age=4000)
    newer = replace(held, access_token="newer", refresh_token="newer", expires=time.time() + 3000, serial=9)
    server.revoke()
    server.delay = 0.4
    running = access(server, store)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(running.key, 5)
        time.sleep(0.15)
        (tmp_path / FILE).write_bytes(to_json(newer))  # by somebody who knows no lock, such as a restored backup
        assert token_of(waiting.result()) == "newer"
    assert not store.read().dead


def test_a_refresh_without_a_new_refresh_token_keeps_the_old_one(server, store):
    held = log_in(server, store, age=4000)
    server.extra = {"refresh_token": "", "client_endpoint": None, "scope": "", "user_id": 0}
    access(server, store).key(5)
    kept = store.read()
    assert kept.access_token != held.access_token
    assert (kept.refresh_token, kept.client_endpoint) == (held.refresh_token, held.client_endpoint)
    assert (kept.scope, kept.user_id) == (held.scope, 7)


@pytest.mark.parametrize("reply", [(200, b"<html>"), (500, b""), (503, b'{"error": "QUERY_LIMIT_EXCEEDED"}')])
def test_a_server_that_stumbles_leaves_the_pair_as_it_is_and_is_not_asked_by_every_caller(server, store, reply):
    held = log_in(server, store, age=4000)
    server.reply = reply
    running, asked = access(server, store), len(server.asked)
    for _ in range(20):
        with pytest.raises(PortalUnreachable) as refused:
            running.key(5)
        assert refused.value.retryable
        assert not refused.value.ambiguous
    assert len(server.asked) == asked + 1
    assert store.read() == held
    server.reply = None
    time.sleep(application_module.SHORTEST_PAUSE)
    assert token_of(running.key(5)) == store.read().access_token


def test_a_wrong_secret_stops_and_is_no_reason_to_log_in(server, store):
    held = log_in(server, store, age=4000)
    with pytest.raises(PortalAuthorisation, match="invalid_client") as refused:
        access(server, store, secret="S3cretWrong").key(5)
    assert not isinstance(refused.value, LoginNeeded)
    assert "--client-secret-file" in refused.value.hint
    assert store.read() == held


def test_a_portal_that_refuses_every_new_token_is_not_asked_for_ever(server, store):
    log_in(server, store)
    running = access(server, store)
    key = running.key(1)
    renewals = 0
    while key is not None and renewals < 100:
        key = running.renewed(key, 5)
        renewals += 1
    assert key is None
    assert server.refreshes == application_module.EARLY_RENEWALS


def test_a_disk_that_takes_nothing_costs_no_pair(server, store, tmp_path, monkeypatch):
    held = log_in(server, store, age=4000)

    def full(*unused):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(PortalUnreachable, match="No space left"):
        access(server, store).key(5)
    assert server.refreshes == 0
    assert store.read() == held
    assert not (tmp_path / HIDDEN).exists()


def test_a_disk_that_dies_between_asking_and_keeping_leaves_the_new_pair_in_memory(server, store, monkeypatch, caplog):
    log_in(server, store, age=4000)
    server.lifetime = 1
    running = access(server, store)

    def broken(*unused):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as dying:
        dying.setattr(os, "pwrite", broken)
        first = token_of(running.key(5))
    assert first in server.access_tokens
    assert "in memory alone" in caplog.text
    time.sleep(1.1)
    second = token_of(running.key(5))
    assert second == store.read().access_token != first
    assert "S3cret" not in caplog.text


def test_what_a_caller_gets_and_the_log_hold_no_secret(server, store, caplog):
    caplog.set_level("DEBUG")
    log_in(server, store, age=4000)
    running = access(server, store)
    running.key(5)
    server.revoke()
    with pytest.raises(LoginNeeded) as refused:
        running.renewed(running.key(5), 5)
    assert "S3cret" not in caplog.text + str(refused.value) + repr(refused.value) + repr(running)
    assert "renewed" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[" * 60_000,
        b"{}",
        b"x" * 70_000,
        json.dumps({"access_token": "x"}).encode(),
    ],
)
def test_a_token_file_that_is_none_is_as_good_as_missing(server, store, tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    (tmp_path / HIDDEN).write_bytes(content)
    with pytest.raises(LoginNeeded):
        access(server, store).key(1)
    held = log_in(server, store)
    assert token_of(access(server, store).key(1)) == held.access_token


GOOD = Tokens("access", "refresh", 3600.0, "https://a/rest/", expires=1.0, application=FINGERPRINT, serial=1)


@pytest.mark.parametrize(
    "change",
    [
        {"access_token": ""},
        {"access_token": "a\nb"},
        {"access_token": "a" * 5000},
        {"access_token": 7},
        {"refresh_token": ""},
        {"refresh_token": None},
        {"expires": "soon"},
        {"expires": -1},
        {"expires": 1e300},
        {"expires": float("nan")},
        {"lifetime": True},
        {"lifetime": 10**400},
        {"serial": 1.5},
        {"serial": 10**30},
        {"user_id": "7"},
        {"scope": "crm"},
        {"scope": [["crm"]]},
        {"scope": ["crm"] * 1000},
        {"client_endpoint": "https://a/\x1b"},
        {"server_endpoint": "a" * 2000},
        {"dead": {}},
    ],
)
def test_a_token_file_of_wrong_types_is_as_good_as_missing(change):
    kept = json.loads(to_json(GOOD))
    assert from_json(json.dumps(kept).encode()) == GOOD
    assert from_json(json.dumps({**kept, **change}).encode()) is None


def test_a_pipe_or_a_link_in_place_of_the_files_holds_nobody(server, store, tmp_path):
    os.mkfifo(tmp_path / FILE)
    (tmp_path / HIDDEN).symlink_to("/etc/passwd")
    with pytest.raises(LoginNeeded):
        access(server, store).key(1)


def test_the_token_file_is_for_its_owner_alone(server, store, tmp_path):
    log_in(server, store)
    access(server, store).key(1)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "token.json": 0o600,
        "token.lock": 0o600,
    }


def test_half_a_year_without_a_call_is_told_in_time(server, store):
    log_in(server, store)
    assert not access(server, store).idle_refresh_due()
    held = store.read()
    store.keep(replace(held, expires=held.expires - 91 * 86400))
    running = access(server, store)
    assert running.idle_refresh_due()
    running.key(5)
    assert not running.idle_refresh_due()


@pytest.mark.parametrize(
    ("configured", "named", "expected"),
    [
        ("https://a.bitrix24.ru", "https://a.bitrix24.ru/rest/", ("https://a.bitrix24.ru", "/rest/")),
        ("https://a.bitrix24.ru", "https://new.bitrix24.ru/rest/", ("https://new.bitrix24.ru", "/rest/")),
        ("https://a.ru/b", "https://a.ru:8443/b/rest/", ("https://a.ru:8443", "/b/rest/")),
        ("https://a.ru/b/", "", ("https://a.ru", "/b/rest/")),
        ("https://a.ru", "http://a.ru/rest/", ("https://a.ru", "/rest/")),
        ("https://a.ru", "http://127.0.0.1/rest/", ("https://a.ru", "/rest/")),
        ("https://a.ru", "https://b.ru/elsewhere/", ("https://a.ru", "/rest/")),
        ("https://a.ru", "https://u:p@b.ru/rest/", ("https://a.ru", "/rest/")),
        ("https://a.ru", "https://b.ru/rest/?a=/rest/", ("https://a.ru", "/rest/")),
        ("https://a.ru", "nonsense", ("https://a.ru", "/rest/")),
        ("http://127.0.0.1:8024", "http://127.0.0.1:9/rest/", ("http://127.0.0.1:9", "/rest/")),
    ],
)
def test_a_renamed_portal_is_found_at_its_client_endpoint(configured, named, expected):
    assert endpoint(configured, named) == expected


KILLED = textwrap.dedent(
    """
    # Renews once with a kill -9 before the Nth line of the modules that keep the pair, for N = 1, 2, 3: a fork each.
    import os, signal, sys, threading, json
    from pathlib import Path
    from tests.unit.bitrix24.test_bitrix24_application import *

    folder, states = Path(sys.argv[1]), []
    watched = ("token_store.py", "tokens.py", "application.py")

    class Asked:
        application = FINGERPRINT
        def refresh(self, refresh_token, total_seconds, server=""):
            global answered
            answered = True
            (folder / "answered").touch()
            return from_grant(replace(GOOD, access_token="new", refresh_token="new"), FINGERPRINT, None, 0.0)

    def renew(at):
        left = at
        def line(frame, event, argument):
            nonlocal left
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return line
        def call(frame, event, argument):
            return line if frame.f_code.co_filename.endswith(watched) else None
        access = ApplicationAccess("https://a.ru", Asked(), TokenStore(folder))
        threading.settrace(call)  # the thread that renews; this one only waits
        access.key(20)
        os._exit(0)

    at = 0
    while True:
        at += 1
        (folder / "answered").unlink(missing_ok=True)
        (folder / ".token.json").unlink(missing_ok=True)
        (folder / "token.json").write_bytes(to_json(replace(GOOD, access_token="old", refresh_token="old")))
        child = os.fork()
        if child == 0:
            try:
                renew(at)
            finally:
                os._exit(3)
        _, status = os.waitpid(child, 0)
        hidden = (folder / ".token.json").exists()
        store = TokenStore(folder)
        store.adopt_leftover()
        kept = store.read()
        states.append([kept.refresh_token if kept else None, (folder / "answered").exists(), hidden, at])
        if not os.WIFSIGNALED(status):
            print(json.dumps({"exit": os.WEXITSTATUS(status), "states": states}))
            break
    """
)


def test_a_kill_at_any_line_of_a_renewal_leaves_the_old_pair_or_the_new_one(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["exit"] == 0
    states = found["states"]
    assert len(states) > 100, "the lines were not counted"
    pairs = [pair for pair, *_ in states]
    # Never none; and once it is the new pair it stays the new one.
    change = pairs.index("new")
    assert pairs == ["old"] * change + ["new"] * (len(pairs) - change)
    # Untouched before the answer; afterwards the new one as soon as it is written, also where it was adopted.
    assert all(pair == "old" for pair, answered, *_ in states if not answered)
    assert any(pair == "new" and hidden for pair, _, hidden, _ in states), "no kill between write and rename"


def test_a_killed_process_frees_the_lock(server, store, tmp_path):
    log_in(server, store, age=4000)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from freepbx_bx24.bitrix24.token_store import TokenStore\n"
            "with TokenStore(Path(sys.argv[1])).locked(1):\n    print('held', flush=True); time.sleep(60)",
            str(tmp_path),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    running = access(server, store)
    with pytest.raises(PortalUnreachable):
        running.key(0.2)
    holder.kill()
    holder.communicate()
    assert token_of(running.key(5)) == store.read().access_token


def test_a_lock_that_is_never_freed_is_given_up(store):
    with store.locked(1), pytest.raises(PortalUnreachable, match="another process"), store.locked(0.1):
        pass


def test_threads_exclude_each_other_as_processes_do(store):
    inside, most = [], []

    def one(_):
        with store.locked(10):
            inside.append(threading.get_ident())
            most.append(len(inside))
            time.sleep(0.001)
            inside.pop()

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(one, range(60)))
    assert max(most) == 1
