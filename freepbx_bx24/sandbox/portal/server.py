"""The portal as one object: start it, point a client at its address, look at its ledger."""

from __future__ import annotations

import copy
import json
import secrets
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from freepbx_bx24.sandbox.portal.auth import Caller, Credentials, Token
from freepbx_bx24.sandbox.portal.errors import RestError
from freepbx_bx24.sandbox.portal.http_server import HttpServer
from freepbx_bx24.sandbox.portal.interference import Gate, Interference, Reply, ScriptedReplies
from freepbx_bx24.sandbox.portal.ledger import ledger, without_secrets
from freepbx_bx24.sandbox.portal.pipeline import answer
from freepbx_bx24.sandbox.portal.state import Context, State
from freepbx_bx24.sandbox.portal.switches import Switches
from freepbx_bx24.sandbox.portal.transport import PortalRequest, RestCall, error_body, read_call, render
from freepbx_bx24.sandbox.portal.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LEDGER_PATH = "/sandbox/ledger.json"
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
WEBHOOK_USER = 1


class Portal:
    """A portal on a socket of this machine; a context manager.

    What it knows survives `stop` and a new `start` (on the same port), as a real portal survives its outage.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        webhook_secret: str | None = None,
        switches: Switches | None = None,
    ) -> None:
        """`port` 0 takes a free one. Without `webhook_secret` a random one is made."""
        self.world = world or World.default()
        self.switches = switches or Switches()
        self.access_token = secrets.token_hex(16)  # acts as user 1, application 3 "PBX bridge"
        self.credentials = Credentials(
            webhooks={WEBHOOK_USER: webhook_secret or secrets.token_hex(8)},
            tokens={self.access_token: Token(WEBHOOK_USER)},
        )
        self.state = State()
        self._interference = Interference()
        self._pristine = copy.deepcopy((self.world, self.switches, self.credentials))
        self._lock = threading.Lock()
        self._host, self._port = host, port
        self._server: HttpServer | None = None

    # -- where it is ---------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; the port is known once it was started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def webhook_url(self) -> str:
        """The inbound webhook of user 1: `http://127.0.0.1:PORT/rest/1/SECRET/`."""
        return f"{self.url}/rest/{WEBHOOK_USER}/{self.credentials.webhooks[WEBHOOK_USER]}/"

    @property
    def ledger_url(self) -> str:
        """Where the ledger is served as JSON."""
        return self.url + LEDGER_PATH

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> Portal:
        """Listen. :raises OSError: the port is taken."""
        self._interference.begin()
        self._server = HttpServer(self._host, self._port, self._application)
        self._port = self._server.port
        return self

    def stop(self) -> None:
        """Refuse and cut all connections; requests held by a gate or a delay are dropped undone."""
        server, self._server = self._server, None
        if server:
            self._interference.end()
            server.close()

    def __enter__(self) -> Portal:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- what tests do with it -----------------------------------------------------------------------------------

    def ledger(self) -> dict[str, Any]:
        """The same plain data as `/sandbox/ledger.json`."""
        with self._lock:
            return ledger(self.state, self.world)

    def reset(self) -> None:
        """Forget all calls and requests, restore world, switches and credentials, drop delays, scripts and gates."""
        with self._lock:
            self.state = State()
            self.world, self.switches, self.credentials = copy.deepcopy(self._pristine)
        self._interference.clear()

    @property
    def delay_seconds(self) -> dict[str, float]:
        """Seconds to wait before a method is worked on, by method name in lower case."""
        return self._interference.delay_seconds

    @property
    def scripted_replies(self) -> ScriptedReplies:
        """Replies to send instead of real ones, or functions that alter real ones."""
        return self._interference.scripted_replies

    def gate(self, method: str) -> Gate:
        """Hold the requests of a method (any case), before they are worked on, until released."""
        return self._interference.gate(method)

    # -- HTTP ----------------------------------------------------------------------------------------------------

    def _application(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with PortalRequest(environ) as request:  # closes the files of a multipart body
            try:
                response = self._respond(request)
            except HTTPException as error:
                response = Response(error.get_body(environ), error.code or 500, content_type="text/html")
                response.headers["Connection"] = "close"  # the body may be unread
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response:
        if not self._is_own_host(request.environ.get("HTTP_HOST", "")):
            # A name that a hostile page made point here (DNS rebinding).
            return Response("This portal answers on loopback addresses only.\n", 403, [("Connection", "close")])
        if request.path == LEDGER_PATH:
            return Response(json.dumps(self.ledger(), indent=1), content_type="application/json; charset=utf-8")
        if not request.path.startswith("/rest/"):
            return Response("Not found\n", 404, [("Connection", "close")])
        try:
            call = read_call(request)
        except RestError as error:
            return render(Reply(error.status, error_body(error, self.switches)))
        row = self._log_arrival(call)
        try:
            reply = answer(call, lambda caller: self._context(call, caller), self._interference)
        except ConnectionError:
            self._log_answer(row, None)
            raise
        self._log_answer(row, reply)
        return render(reply)

    def _is_own_host(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return name in LOOPBACK_NAMES or name == self._host

    def _context(self, call: RestCall, caller: Caller) -> Context:
        return Context(self.state, self.world, self.switches, self.credentials, caller, call.host_url, self._lock)

    # -- the ledger's list of requests ---------------------------------------------------------------------------

    def _log_arrival(self, call: RestCall) -> dict[str, Any]:
        with self._lock:
            row: dict[str, Any] = {
                "sequence": self.state.next_number("request"),
                "arrived": time.time(),
                "answered": None,
                "method": call.method,
                "parameters": without_secrets(call.parameters),
                "auth": call.presented.kind,
                "status": None,
                "error": None,
                "error_description": None,
            }
            self.state.requests.append(row)
        return row

    def _log_answer(self, row: dict[str, Any], reply: Reply | None) -> None:
        """No reply: the connection was dropped, and the row's status stays empty."""
        with self._lock:
            row["answered"] = time.time()
            if reply:
                body = reply.body if isinstance(reply.body, dict) else {}
                row.update(
                    status=reply.status, error=body.get("error"), error_description=body.get("error_description")
                )
