"""The search for secrets in what a test run leaves behind: it finds each kind in each place, and shows none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from tests.support.known_secrets import SHORTEST, KnownSecrets

REPOSITORY = Path(__file__).parents[2]
TEST_FILE = """
import json, logging, subprocess, sys
import pytest, requests
from freepbx_bx24.sandbox.portal import Portal

@pytest.fixture
def portal():
    with Portal() as running:
        yield running

def upload_url(portal):
    call = {"USER_ID": 1101, "PHONE_NUMBER": "+79160000555", "TYPE": 2}
    for method, given in (
        ("register", call), ("finish", {**call, "DURATION": 5}), ("attachRecord", {"FILENAME": "a.mp3"}),
    ):
        answer = requests.post(f"{portal.webhook_url}telephony.externalCall.{method}", json={**call, **given}).json()
        call["CALL_ID"] = answer["result"].get("CALL_ID", call.get("CALL_ID"))
    return answer["result"]["uploadUrl"].partition("token=")[2]  # without the webhook's secret before it

"""
SECRETS = {
    "webhook secret": "portal.webhook_url",
    "access token": 'portal.issue_tokens()["access_token"]',
    "refresh token": 'portal.issue_tokens()["refresh_token"]',
    "client secret": "portal.application.client_secret",
    "authorisation code": 'portal.authorization_server("").authorize({"client_id": portal.application.client_id})',
    "upload URL": "upload_url(portal)",
}
REFRESH = "portal.issue_tokens()['refresh_token']"
# What a test does -> how, and where it is found.
PLACES = {
    "logs": ("logging.getLogger('bx24.portal').debug('asking %s', {})", "the log"),
    "logs at the root": ("logging.getLogger().warning('asking %s', {})", "the log"),
    "logs an error": ("logging.getLogger('bx24').error('failed', exc_info=ValueError({}))", "the log"),
    "prints": ("print('asking', {})", "captured stdout call"),
    "prints an error": ("print('asking', {}, file=sys.stderr)", "captured stderr call"),
    "reads what it printed": ("print({}); capsys.readouterr()", "the captured output"),
    "writes": ("(tmp_path / 'service.log').write_text('asking ' + {})", "test_place{number}0/service.log"),
    "writes in a folder": (
        "(tmp_path / 'a').mkdir(); (tmp_path / 'a' / 'freepbx_bx24.yaml').write_text({})",
        "test_place{number}0/a/freepbx_bx24.yaml",
    ),
    "lets a child print": (
        "subprocess.run([sys.executable, '-c', 'import os; print(os.environ[\"SAID\"])'], env={{'SAID': {}}}, "
        "capture_output=True)",
        "a child process's output",
    ),
    "shows in the ledger": (
        "requests.post(portal.webhook_url + 'user.get', json={{'FILTER': {{'NAME': {}}}}})",
        "the portal's ledger",
    ),
}


class Run(NamedTuple):
    status: int
    said: str

    def found(self, secret: str, place: str, test: str = "test_it") -> bool:
        """Whether it said that this kind of secret was found there, on a line of its own."""
        return f"\nsecrets: {secret} in {place}, by test_generated.py::{test}\n" in self.said


def run(folder: Path, *more: str, **bodies: str) -> Run:
    """Run tests of these names and bodies, with the plugin alone, as a run of its own with `more` options."""
    file, tests = folder / "test_generated.py", ""
    for name, body in bodies.items():
        tests += f"\ndef {name}(portal, tmp_path, capsys):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    file.write_text(TEST_FILE + tests, encoding="utf-8")
    options = ["-q", "-p", "no:cacheprovider", "-p", "tests.support.secret_sweep", "-c", "/dev/null", *more]
    places = [f"--rootdir={folder}", f"--basetemp={folder / 'base'}", str(file)]
    command = [sys.executable, "-m", "pytest", *options, *places]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return Run(done.returncode, done.stdout)


@pytest.fixture(scope="module", params=[(), ("-n", "2")], ids=["one process", "two processes"])
def leaks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of tests that all pass: each leaks one secret, all kinds into the log, a refresh token into each place."""
    log, _ = PLACES["logs"]
    kinds = {f"test_kind{number}": log.format(secret) for number, secret in enumerate(SECRETS.values())}
    places = {f"test_place{number}": leak.format(REFRESH) for number, (leak, _) in enumerate(PLACES.values())}
    return run(tmp_path_factory.mktemp("leaks"), *request.param, **kinds, **places)


def test_a_run_whose_tests_all_pass_fails_by_what_was_found(leaks: Run) -> None:
    assert (leaks.status, f"{len(SECRETS) + len(PLACES)} passed" in leaks.said) == (1, True), leaks.said
    line = r"secrets: \d+ searched for in \d+ messages and \d+ files \(\d+\.\d MB\): (\d+) FOUND\n"
    found = re.search(line, leaks.said)
    assert found and int(found.group(1)) == len(SECRETS) + len(PLACES), leaks.said


@pytest.mark.parametrize("number, secret", list(enumerate(SECRETS)))
def test_each_kind_of_secret_is_found_and_named_with_its_test(leaks: Run, number: int, secret: str) -> None:
    assert leaks.found(secret, "the log", f"test_kind{number}"), leaks.said


@pytest.mark.parametrize("number, place", list(enumerate(PLACES)))
def test_a_secret_is_found_in_each_place(leaks: Run, number: int, place: str) -> None:
    named = PLACES[place][1].format(number=number)
    assert leaks.found("refresh token", named, f"test_place{number}"), leaks.said


def test_no_secret_is_shown_by_what_says_that_it_was_found(leaks: Run) -> None:
    assert not re.search("[0-9a-f]{10}", leaks.said)


@pytest.mark.parametrize("name", ["logs", "prints", "writes"])
def test_one_secret_in_one_place_is_enough(tmp_path: Path, name: str) -> None:
    leak, place = PLACES[name]
    done = run(tmp_path, test_place=leak.format("portal.webhook_url"))
    assert done.status == 1 and done.found("webhook secret", place.format(number=""), "test_place"), done.said


def test_what_tests_ask_a_portal_themselves_is_no_leak_though_urllib3_logs_it(tmp_path: Path) -> None:
    assert run(tmp_path, test_it="requests.post(portal.webhook_url + 'user.get')").status == 0


def test_what_urllib3_logs_of_the_products_requests_is_a_leak(tmp_path: Path) -> None:
    body = """
product = {"__name__": "freepbx_bx24.bitrix24.client", "requests": requests}
exec("def ask(url): requests.post(url)", product)
product["ask"](portal.webhook_url + "user.get")
"""
    done = run(tmp_path, test_it=body)
    assert done.status == 1 and done.found("webhook secret", "the log"), done.said


def test_a_run_that_keeps_its_secrets_where_they_belong_passes_and_says_what_was_searched(tmp_path: Path) -> None:
    body = """
tokens = portal.issue_tokens()
for name in ("webhook", "app.secret", "token.json", ".token.json", "key.pem"):
    (tmp_path / name).write_text(json.dumps(tokens) + portal.webhook_url)
(tmp_path / "service.log").write_text("registered")
logging.getLogger("bx24").info("registered %s", portal.url)
assert requests.post(portal.webhook_url + "user.get").ok
print(portal.ledger())
"""
    done = run(tmp_path, test_it=body)
    assert done.status == 0, done.said
    assert re.search(r"\nsecrets: 6 searched for in [3-9] messages and 1 files \(0\.0 MB\): none found\n", done.said)


# -- the search itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["0123456789abcdef", "S3cret.with-dots/and=signs", "a%b c&d-12345"])
@pytest.mark.parametrize("shape", ["{}", "x{}y", "%7C{}", "0a{}0a", "https://p.example/rest/1/{}/", "\\n{}\\n"])
def test_a_secret_is_found_whatever_stands_around_it(secret: str, shape: str) -> None:
    known = KnownSecrets()
    known.add("key", secret)
    for written in (secret, quote(secret), quote(secret, safe="")):
        assert known.kinds_in(shape.format(written).encode()) == {"key"}
    assert not known.kinds_in(shape.format(secret[:-1]).encode())


def test_secrets_that_begin_alike_are_told_apart() -> None:
    known = KnownSecrets()
    known.add("one", "aaaabbbbcccc1111")
    known.add("other", "aaaabbbbcccc2222")
    assert known.kinds_in(b"aaaabbbbaaaabbbbcccc2222") == {"other"}


def test_what_is_too_short_to_be_told_from_harmless_text_is_not_searched_for() -> None:
    known = KnownSecrets()
    known.add("key", "a" * (SHORTEST - 1))
    assert len(known) == 0 and not known.kinds_in(b"a" * 100)
    known.add("key", "a" * SHORTEST)
    assert len(known) == 1 and known.kinds_in(b"a" * 100) == {"key"}
