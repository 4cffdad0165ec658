"""`bx24 login`: an administrator of the portal lets the local application in, once."""

from __future__ import annotations

import argparse
import json
import re
import secrets
import sys
import time
from typing import Any, Mapping
from urllib.parse import urlencode

from ..bitrix24.application import NOBODY, OTHER_APPLICATION, endpoint, login_needed
from ..bitrix24.introduction import RIGHTS, missing_rights
from ..bitrix24.oauth import Application, OAuth
from ..bitrix24.replies import harmless, read
from ..bitrix24.token_store import TokenStore
from ..bitrix24.tokens import Tokens, fingerprint, from_grant
from ..bitrix24.transport import Transport
from ..errors import ConfigurationError, PortalError
from ..service.surroundings import state_directory, time_scale
from ..settings import PortalSettings, Settings, load
from .redirect import Answer, Listener, wait_for_answer
from .user import become_service_user

PORTAL_SECONDS = 15.0
WAIT_SECONDS = 600.0
LISTEN = "127.0.0.1:8925"
_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})")

_WEBHOOK_ONLY = (
    "{path}: this machine uses a webhook, which needs no login. For the local application write these lines in place "
    "of portal.webhook_file: url: https://YOUR-PORTAL, client_id: ..., client_secret_file: /etc/freepbx_bx24.secret"
)
_WEBHOOK_HINT = "Or let it be done: sudo ./install.sh --portal-url URL --client-id ID --client-secret-file -"
_HOW = """\
1. Open this address in a browser in which the service administrator is logged in to the portal, and agree:

   {address}

2. The portal then sends the browser to the application's handler address{listening}.
   Where that page does not open: copy the whole address from the browser's address line, paste it here and press
   Enter, within 30 seconds: the code in it lives no longer. A bare code does as well.

Waiting for {minutes:.0f} minutes (Ctrl-C: give up) ...
"""
_OPEN = "Not encrypted: everybody on the way to {place} can read the code; it works once and needs the secret, too."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--listen HOST:PORT`, `--status`."""
    parser.add_argument(
        "--listen",
        type=_place,
        default=LISTEN,
        metavar="HOST:PORT",
        help=f"where the portal's redirect is awaited (default: {LISTEN})",
    )
    parser.add_argument("--status", action="store_true", help="say who is logged in, and ask nobody")


def run(options: argparse.Namespace) -> int:
    """Log in, or say who is; 0 where calls can be registered, 1 where not.

    :raises ConfigurationError: there is no local application in the YAML. :raises PortalError: it did not work.
    """
    become_service_user()
    settings = load()
    if not settings.portal.client_id:
        raise ConfigurationError([_WEBHOOK_ONLY.format(path=settings.path)], _WEBHOOK_HINT)
    store = TokenStore(state_directory())
    return status(settings.portal, store) if options.status else log_in(settings, store, options.listen)


def status(portal: PortalSettings, store: TokenStore) -> int:
    """Say who is logged in; 0 where the token can be used or renewed."""
    store.adopt_leftover()
    tokens = store.read()
    print(f"Application: {portal.client_id} at {portal.url}")
    trouble = ""
    if tokens is None:
        trouble = NOBODY
    elif tokens.application != fingerprint(portal.client_id):
        trouble = OTHER_APPLICATION
    elif tokens.dead:
        trouble = f"dead: the portal has taken the token back ({tokens.dead})"
    if tokens is not None:
        left = tokens.seconds_left(time.time())
        print(f"Portal now:  {endpoint(portal.url, tokens.client_endpoint)[0]}")
        print(f"Whose token: user {tokens.user_id or 'unknown'}")
        print(f"Rights:      {', '.join(tokens.scope) or 'unknown'}")
        print(f"Valid for:   {f'{left / 60:.0f} minutes, then' if left > 0 else 'no longer,'} it is renewed by itself")
    print(f"State:       {trouble or 'alive'}")
    if trouble:
        print("Type `bx24 login`.")
    return 1 if trouble else 0


def log_in(settings: Settings, store: TokenStore, listen: tuple[str, int]) -> int:
    """Wait for a code, exchange it, keep the tokens, say whose they are and whether telephony works."""
    portal = settings.portal
    transport = Transport(portal.ca_bundle)
    oauth = OAuth(transport, Application(portal.client_id, portal.client_secret), portal.url, portal.oauth_url)
    store.prove()
    answer = _ask_for_code(portal, listen)
    grant = oauth.exchange(answer.code, PORTAL_SECONDS, answer.server)
    tokens = from_grant(grant, oauth.application, None, time.time())
    store.keep(tokens)
    print("\nThe portal has let us in; a running service notices it by itself.")
    return 0 if _introduced(portal, tokens, transport) else 1


def _ask_for_code(portal: PortalSettings, listen: tuple[str, int]) -> Answer:
    state = secrets.token_urlsafe(24)
    query = urlencode({"client_id": portal.client_id, "state": state})
    place = f"http://{f'[{listen[0]}]' if ':' in listen[0] else listen[0]}:{listen[1]}/"
    listener, listening = None, ""
    try:
        listener = Listener(*listen)
        listening = f";\n   {place} is open for it"
    except OSError as error:
        print(f"Nothing can listen at {place} ({error.strerror}): paste the address.", file=sys.stderr)
    longest = WAIT_SECONDS * time_scale()
    print(_HOW.format(address=f"{portal.url}/oauth/authorize/?{query}", listening=listening, minutes=longest / 60))
    if listener is not None and not listen[0].startswith("127.") and listen[0] not in ("::1", "localhost"):
        print(_OPEN.format(place=place))
    sys.stdout.flush()
    try:
        typing = None if sys.stdin is None or sys.stdin.closed else sys.stdin.fileno()
        answer = wait_for_answer(listener, typing, state, longest, lambda why: print(f"Not taken: {why}.", flush=True))
    finally:
        if listener is not None:
            listener.close()
    if answer is None:
        raise login_needed("no code has come")
    return answer


def _introduced(portal: PortalSettings, tokens: Tokens, transport: Transport) -> bool:
    """Say whose token it is, what it may and whether telephony works; false where calls can't be registered."""
    origin, path = endpoint(portal.url, tokens.client_endpoint)
    missing = missing_rights(tokens.scope)

    def ask(method: str, parameters: Mapping[str, object]) -> Any:
        body = json.dumps({**parameters, "auth": tokens.access_token}).encode()
        headers = {"Content-Type": "application/json"}
        reply = transport.exchange("POST", f"{origin}{path}{method}.json", PORTAL_SECONDS, body, headers)
        return read(reply.status, reply.body, (tokens.access_token,), reply.headers).result

    print(
        f"Portal: {origin}" + ("" if origin == portal.url else f" (write this as portal.url, in place of {portal.url})")
    )
    try:
        name = _name(ask("user.get", {"ID": tokens.user_id})) if tokens.user_id and "user" not in missing else ""
        print(f"Whose token: {name or 'nameless'} (user {tokens.user_id or 'unknown'}). Leave this user active.")
    except PortalError as error:
        print(f"Whose token: user {tokens.user_id}; the name can't be read: {error.message}", file=sys.stderr)
    print(f"Rights: {', '.join(tokens.scope) or 'the portal does not say'}")
    for right in missing:
        print(f"The right {right} is missing: {RIGHTS[right]}.", file=sys.stderr)
    if missing:
        print("Give it to the local application in Bitrix24, save, then type `bx24 login` again.", file=sys.stderr)
    try:
        ask("telephony.externalLine.get", {})
    except PortalError as error:
        print(f"Telephony does not work: {error.message}\n{error.hint}", file=sys.stderr)
        return False
    print("Telephony works.")
    return not missing


def _name(result: object) -> str:
    person = result[0] if isinstance(result, list) and result and isinstance(result[0], dict) else {}
    return " ".join(part for part in (harmless(person.get(key), 60) for key in ("NAME", "LAST_NAME")) if part)


def _place(typed: str) -> tuple[str, int]:
    found = _LISTEN.fullmatch(typed)
    if not found or not 0 < int(found[3]) < 65536:
        raise argparse.ArgumentTypeError("allowed: HOST:PORT, such as 127.0.0.1:8925 or 0.0.0.0:8925")
    return found[1] or found[2], int(found[3])
