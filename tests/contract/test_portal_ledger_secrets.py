"""The ledger is served to whoever asks on this machine: no key stands in it, whatever clients and portals repeat."""

from __future__ import annotations

import json

import pytest
from portal_client import Client

from freepbx_bx24.sandbox.portal.interference import Reply

ATTACH = "telephony.externalCall.attachRecord"


@pytest.mark.parametrize("auth", ["webhook", "oauth"])
def test_the_address_of_a_record_is_shown_without_a_webhooks_secret(client: Client, auth: str) -> None:
    address = client.portal.webhook_url + "user.get"
    client.post(ATTACH, auth, CALL_ID="none", RECORD_URL=address)
    shown = client.portal.ledger()["requests"][0]["parameters"]["RECORD_URL"]
    assert shown == "http://127.0.0.1/rest/1/<removed>/user.get"


@pytest.mark.parametrize("auth", ["webhook", "oauth"])
def test_an_error_that_repeats_the_key_is_shown_without_it(client: Client, auth: str) -> None:
    portal = client.portal
    key = portal.access_token if auth == "oauth" else portal.credentials.webhooks[1]
    body = {"error": key, "error_description": f"Wrong key {key}!"}
    portal.scripted_replies.add("user.get", Reply(403, body))
    assert client.post("user.get", auth).json() == body
    row = portal.ledger()["requests"][0]
    assert (row["error"], row["error_description"]) == ("<removed>", "Wrong key <removed>!")
    assert key not in json.dumps(portal.ledger())
