"""The portal's front door: whose address it is, what stands in front of the methods, and the list of requests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import urlsplit

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from freepbx_bx24.sandbox.portal.batch import inner_methods
from freepbx_bx24.sandbox.portal.errors import RestError, system_error
from freepbx_bx24.sandbox.portal.hosts import LOOPBACK_NAMES, host_name
from freepbx_bx24.sandbox.portal.http_server import SENT, SINCE
from freepbx_bx24.sandbox.portal.interference import Reply, Script
from freepbx_bx24.sandbox.portal.ledger import without_key, without_secrets
from freepbx_bx24.sandbox.portal.oauth import GRANT_TYPES
from freepbx_bx24.sandbox.portal.pipeline import answer
from freepbx_bx24.sandbox.portal.transport import PortalRequest, RestCall, error_body, read_call, render

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from freepbx_bx24.sandbox.portal.server import Portal

LEDGER_PATH = "/sandbox/ledger.json"
AUTHORIZE_PATH, TOKEN_PATH = "/oauth/authorize", "/oauth/token"
TOKEN_METHOD = "oauth/token"  # the name by which delays, gates and scripts know the requests for tokens
TOO_LARGE = "<html><head><title>413 Request Entity Too Large</title></head><body>nginx</body></html>"
UNKNOWN_APPLICATION = "<!DOCTYPE html><title>Error</title><h1>Application not found</h1>\n"


def application(portal: Portal, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The WSGI application of `portal`; a ConnectionError drops the client without an answer."""
    with PortalRequest(environ) as request:  # closes the files of a multipart body
        try:
            response = _respond(portal, request)
        except HTTPException as error:
            response = Response(error.get_body(environ), error.code or 500, content_type="text/html")
            response.headers["Connection"] = "close"  # the body may be unread
    return response(environ, start_response)


def _respond(portal: Portal, request: Request) -> Response:
    if not _is_own_host(portal, request.environ.get("HTTP_HOST", "")):
        # A name that a hostile page made point here (DNS rebinding).
        return Response("This portal answers on loopback addresses only.\n", 403, [("Connection", "close")])
    if request.path == LEDGER_PATH:
        return Response(json.dumps(portal.ledger(), indent=1), content_type="application/json; charset=utf-8")
    if request.path.startswith("/rest/"):
        return _rest(portal, request)
    path = request.path.rstrip("/")
    if path in (AUTHORIZE_PATH, TOKEN_PATH):
        request.get_data(cache=True, parse_form_data=True)  # to the end, so that the connection can be used again
        return _authorize(portal, request) if path == AUTHORIZE_PATH else _token(portal, request)
    return Response("Not found\n", 404, [("Connection", "close")])


def _is_own_host(portal: Portal, host: str) -> bool:
    name = host_name(host)
    return name in LOOPBACK_NAMES or name in portal.host_names


# -- /rest/ ----------------------------------------------------------------------------------------------------------


def _too_large(portal: Portal, request: Request) -> bool:
    """Whether the body is more than the front end takes; it is read to its end, as nginx does before it closes."""
    most, length = portal.switches.largest_body, request.content_length or 0
    upload = request.path.rstrip("/").rpartition("/")[2] in ("upload", "upload.json")
    if most is None or length <= most or upload:
        return False
    while request.stream.read(65536):
        pass
    return True


def _rest(portal: Portal, request: Request) -> Response:
    if _too_large(portal, request):
        return Response(TOO_LARGE, 413, [("Connection", "close")], content_type="text/html")
    started = portal.now()
    refused = not _let_in(portal, request.remote_addr or "")
    try:
        call = read_call(request)
    except RestError as error:
        return render(_error(portal, system_error("too_many_requests") if refused else error))
    row = _log_arrival(portal, call, started)
    request.environ[SENT].append(lambda: row.update(took_seconds=time.monotonic() - request.environ[SINCE]))
    if refused:
        reply = _error(portal, system_error("too_many_requests"))
    elif portal.switches.renamed_to:
        reply = Reply(302, b"", {"Location": portal.switches.renamed_to.rstrip("/") + _target(request)})
    else:
        try:
            reply = _interfered(portal, call, row, started)
        except ConnectionError:
            _log_answer(portal, call, row, None)
            raise
    _log_answer(portal, call, row, reply)
    return render(reply)


def _let_in(portal: Portal, address: str) -> bool:
    plan = portal.switches.plan
    with portal.lock:
        return plan is None or portal.state.buckets.accept(address, plan, portal.clock_reading())


def _interfered(portal: Portal, call: RestCall, row: dict[str, Any], started: float) -> Reply:
    """The method's answer, as the test lets it be."""
    interference = portal.interference
    interference.wait(interference.slow_seconds)
    for method in dict.fromkeys((call.method, *inner_methods(call.parameters))):
        interference.hold(method)
    script = interference.scripted_replies.take(call.method)
    if script is None:
        kind = portal.dice.draw()
        if kind:
            row["fault"] = kind
            script = portal.dice.script(kind, lambda: interference.wait(portal.fault_seconds))
    return _play(script, lambda: answer(call, portal.context(call), started))


def _play(script: Script | None, run: Callable[[], Reply]) -> Reply:
    if isinstance(script, Reply):
        return script  # a fault before commit: nothing runs
    if isinstance(script, ConnectionError):
        raise script
    reply = run()
    return script(reply) if script else reply  # a fault after commit


def _error(portal: Portal, error: RestError) -> Reply:
    return Reply(error.status, error_body(error, portal.switches))


def _target(request: Request) -> str:
    """Path and query exactly as the client sent them."""
    sent = urlsplit(str(request.environ["REQUEST_URI"]))
    return sent.path + (f"?{sent.query}" if sent.query else "")


def _log_arrival(portal: Portal, call: RestCall, arrived: float) -> dict[str, Any]:
    with portal.lock:
        row: dict[str, Any] = {
            "sequence": portal.state.next_number("request"),
            "arrived": arrived,
            "answered": None,
            "took_seconds": None,  # from its first line until the answer was on the wire, by no simulated clock
            "method": call.method,
            "parameters": without_secrets(call.parameters),
            "auth": call.presented.kind,
            "status": None,
            "error": None,
            "error_description": None,
            "fault": None,
        }
        portal.state.requests.append(row)
    return row


def _log_answer(portal: Portal, call: RestCall, row: dict[str, Any], reply: Reply | None) -> None:
    """No reply: the connection was dropped, and the row's status stays empty."""
    with portal.lock:
        row["answered"] = portal.now()
        if reply:
            body = reply.body if isinstance(reply.body, dict) else {}
            error, description = (without_key(body.get(key), call.presented) for key in ("error", "error_description"))
            row.update(status=reply.status, error=error, error_description=description)


# -- /oauth/ ---------------------------------------------------------------------------------------------------------


def _authorize(portal: Portal, request: Request) -> Response:
    with portal.lock:
        target = portal.authorization_server(_origin(request)).authorize(request.values)
    if target is None:
        return Response(UNKNOWN_APPLICATION, 400, content_type="text/html; charset=utf-8")
    return Response(b"", 302, {"Location": target})


def _token(portal: Portal, request: Request) -> Response:
    grant_type = request.values.get("grant_type", "")
    row: dict[str, Any] = {
        "time": portal.now(),
        "grant_type": grant_type if grant_type in GRANT_TYPES else None,
        "status": None,
        "error": None,
    }
    with portal.lock:
        portal.state.token_requests.append(row)
    portal.interference.hold(TOKEN_METHOD)
    script = portal.interference.scripted_replies.take(TOKEN_METHOD)

    def run() -> Reply:
        with portal.lock:
            return portal.authorization_server(_origin(request)).token(request.values)

    reply = _play(script, run)
    with portal.lock:
        body = reply.body if isinstance(reply.body, dict) else {}
        row.update(status=reply.status, error=body.get("error"))
    return render(reply)


def _origin(request: Request) -> str:
    return request.host_url.rstrip("/")
