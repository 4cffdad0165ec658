"""The page's front door: who may come in, which address is what, and what a person asks the portal to do."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import urlsplit

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.portal.hosts import LOOPBACK_NAMES, host_name, is_address
from freepbx_bx24.sandbox.portal.http_server import EVENT_STREAM
from freepbx_bx24.sandbox.portal.page.switchboard import NAMES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from freepbx_bx24.sandbox.portal.page.server import Page

STATIC = Path(__file__).parent / "static"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
TOKEN_PLACE = "{{action_token}}"
ACTION_HEADER = "X-Action-Token"
COOKIE = "sandbox_page"
LARGEST_BODY = 4096
LONGEST_TEXT = 200
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Entry:
    """Who may come in.

    :ivar visitor_token: the word in the address that was printed, when not only this machine may ask; else "".
    :ivar action_token: stands in the page itself, so that only the page can ask for a change.
    """

    visitor_token: str = field(repr=False)
    action_token: str = field(repr=False)


def application(page: Page, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The WSGI application of `page`."""
    request = Request(environ)
    request.max_content_length = LARGEST_BODY
    try:
        response = _respond(page, request)
    except HTTPException as error:
        response = _refusal(error.code or 500, error.name)
    for name, value in HEADERS.items():
        response.headers[name] = value
    return response(environ, start_response)


def _refusal(status: int, text: str) -> Response:
    # The body may be unread.
    return Response(json.dumps({"error": text}), status, [("Connection", "close")], content_type="application/json")


def _respond(page: Page, request: Request) -> Response:
    name = host_name(request.environ.get("HTTP_HOST", ""))
    if not (name in LOOPBACK_NAMES or (page.entry.visitor_token and is_address(name))):
        return _refusal(403, "This page answers to addresses, not to names.")
    if page.entry.visitor_token and not _has_cookie(request, page.entry.visitor_token):
        return _welcome(page, request)
    if request.method == "POST":
        return _act(page, request)
    if request.method not in ("GET", "HEAD"):
        return _refusal(405, "There is nothing to do that way here.")
    if request.path in FILES:
        return _file(page, request.path)
    if request.path == "/changes" and request.method == "GET":
        return _changes(page, request)
    if request.path.startswith("/recordings/"):
        return _recording(page, request)
    return _refusal(404, "There is nothing here.")


# -- coming in ---------------------------------------------------------------------------------------------------------


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _has_cookie(request: Request, token: str) -> bool:
    try:
        cookie = SimpleCookie(request.environ.get("HTTP_COOKIE", "")).get(COOKIE)
    except CookieError:
        return False
    return cookie is not None and _same(cookie.value, token)


def _welcome(page: Page, request: Request) -> Response:
    """The printed address is used once by each browser; then a cookie stands for it, so that it is not passed on."""
    if request.method != "GET" or not _same(request.args.get("token", ""), page.entry.visitor_token):
        return _refusal(403, "Open the address that was printed when the page was started.")
    response = Response(b"", 303, {"Location": "/"})
    response.set_cookie(COOKIE, page.entry.visitor_token, httponly=True, samesite="Strict", path="/")
    return response


# -- what is to be seen ------------------------------------------------------------------------------------------------


def _file(page: Page, path: str) -> Response:
    name, content_type = FILES[path]
    text = (STATIC / name).read_text(encoding="utf-8").replace(TOKEN_PLACE, page.entry.action_token)
    return Response(text, content_type=content_type)


def _changes(page: Page, request: Request) -> Response:
    """Server-sent events; a browser that lost the connection says by Last-Event-ID what it has."""
    stream = page.stream(request.headers.get("Last-Event-ID", ""))
    if stream is None:
        return _refusal(503, "Too many browsers look at this page.")
    return Response(stream, content_type=EVENT_STREAM)


def _recording(page: Page, request: Request) -> Response:
    """A call's recording, or the range of it that a player asks for."""
    found = page.portal.recording(request.path.rpartition("/")[2])
    if found is None:
        return _refusal(404, "The portal no longer has this recording.")
    name, content = found
    response = Response(content, content_type="audio/wav" if name.endswith(".wav") else "audio/mpeg")
    return response.make_conditional(request.environ, accept_ranges=True, complete_length=len(content))


# -- what a person does ------------------------------------------------------------------------------------------------


def _act(page: Page, request: Request) -> Response:
    act = ACTIONS.get(request.path)
    if act is None:
        return _refusal(404, "There is nothing here.")
    origin = urlsplit(request.headers.get("Origin", ""))
    own = origin.scheme == "http" and origin.netloc == request.environ.get("HTTP_HOST")
    if not own or not _same(request.headers.get(ACTION_HEADER, ""), page.entry.action_token):
        return _refusal(403, "Only the page itself may ask for that; load it again.")
    if request.mimetype != "application/json":
        return _refusal(415, "Send JSON.")
    try:
        given = json.loads(request.get_data())
    except (ValueError, RecursionError):
        return _refusal(400, "That is no JSON.")
    if not isinstance(given, dict):
        return _refusal(400, "That is no JSON object.")
    try:
        answer = act(page, given)
    except ValueError as error:
        return _refusal(400, str(error))
    except SandboxError as error:
        return _refusal(409, f"{error}. {error.hint}")
    return Response(json.dumps(answer), content_type="application/json")


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(f"{name} is a text of {LONGEST_TEXT} characters at most")
    return value.strip()


def _number(given: dict[str, Any], name: str) -> int:
    value = given.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**9:
        raise ValueError(f"{name} is a number")
    return value


def _click(page: Page, given: dict[str, Any]) -> dict[str, Any]:
    call_id = page.portal.click(
        _number(given, "user_id"),
        _text(given, "number"),
        line=_text(given, "line"),
        crm_entity_type=_text(given, "entity_type"),
        crm_entity_id=_number(given, "entity_id"),
    )
    return {"call_id": call_id}


def _callback(page: Page, given: dict[str, Any]) -> dict[str, Any]:
    page.portal.callback(_text(given, "number"), text=_text(given, "text"), line=_text(given, "line"))
    return {}


def _trouble(page: Page, given: dict[str, Any]) -> dict[str, Any]:
    name, on = given.get("name"), given.get("on")
    if name not in NAMES or not isinstance(on, bool):
        raise ValueError(f"name is one of {', '.join(NAMES)}; on is true or false")
    page.switchboard.switch(name, on)
    return page.switchboard.state()


ACTIONS: dict[str, Callable[[Page, dict[str, Any]], dict[str, Any]]] = {
    "/click": _click,
    "/callback": _callback,
    "/trouble": _trouble,
}
