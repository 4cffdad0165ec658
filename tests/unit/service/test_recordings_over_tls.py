"""An application's recording over TLS: its upload address carries a token, and the token may end in between."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import Iterator

import pytest

from freepbx_bx24.bitrix24.token_store import TokenStore
from freepbx_bx24.bitrix24.tokens import Grant, fingerprint, from_grant
from freepbx_bx24.sandbox.portal import Portal
from tests.support.recorded_calls import configure, leave_call, recording, wav
from tests.support.running_service import RunningService, wait_until

CALL = "1790000120.77"


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal(tls=True) as one:
        yield one


def let_in(service: RunningService, portal: Portal) -> None:
    """The YAML names the portal's application, to which an administrator has given a token."""
    secret = service.directory / "app.secret"
    secret.write_text(portal.application.client_secret + "\n")
    secret.chmod(0o600)
    ways = {
        "url": portal.url,
        "client_id": portal.application.client_id,
        "client_secret_file": secret,
        "oauth_url": portal.oauth_url,
        "ca_bundle": portal.ca_bundle,
    }
    said = ", ".join(f"{name}: '{value}'" for name, value in ways.items())
    text, changed = re.subn("webhook_file: [^,]*", said, service.yaml.read_text())
    assert changed == 1
    service.yaml.write_text(text)
    given = portal.issue_tokens()
    grant = Grant(given["access_token"], given["refresh_token"], 3600.0, given["client_endpoint"])
    tokens = from_grant(grant, fingerprint(portal.application.client_id), None, time.time())
    TokenStore(service.directory / "state").keep(tokens)


@pytest.mark.parametrize("ends", [False, True], ids=["its token lives", "its token ends between call and recording"])
def test_an_applications_upload_goes_over_tls(service: RunningService, portal: Portal, ends: bool) -> None:
    let_in(service, portal)
    file: Path = recording(configure(service, "base64_up_to: 0"), content=wav(300_000))
    service.start()
    if ends:
        portal.expire_tokens()
    leave_call(service, CALL, file)
    wait_until(lambda: any(call["records"] for call in service.calls()), 30, service.log)
    (record,) = service.calls()[0]["records"]
    assert (record["mode"], record["sha256"]) == ("upload", hashlib.sha256(file.read_bytes()).hexdigest())
    assert "token=" not in service.log()
