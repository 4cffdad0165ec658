"""The portal as one object: start it, point a client at its address, look at its ledger."""

from __future__ import annotations

import copy
import functools
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Callable

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.portal import clicks, front
from freepbx_bx24.sandbox.portal.application import Application
from freepbx_bx24.sandbox.portal.auth import Caller, Credentials, Token
from freepbx_bx24.sandbox.portal.clock import Clock
from freepbx_bx24.sandbox.portal.event_delivery import fire
from freepbx_bx24.sandbox.portal.faults import Faults, checked
from freepbx_bx24.sandbox.portal.http_server import HttpServer
from freepbx_bx24.sandbox.portal.interference import Gate, Interference, ScriptedReplies
from freepbx_bx24.sandbox.portal.ledger import ledger
from freepbx_bx24.sandbox.portal.oauth import AuthorizationServer
from freepbx_bx24.sandbox.portal.state import Context, State
from freepbx_bx24.sandbox.portal.subscriptions import CALL_START, CALLBACK_START
from freepbx_bx24.sandbox.portal.switches import Switches
from freepbx_bx24.sandbox.portal.tls import TestAuthority
from freepbx_bx24.sandbox.portal.transport import RestCall
from freepbx_bx24.sandbox.portal.world import World

WEBHOOK_USER = 1
FAULT_SECONDS = 5.0
UNKNOWN_CALLER = Caller(0, None, None, frozenset())


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
        tls: bool = False,
        host_names: Sequence[str] = (),
        fault_seed: int = 0,
    ) -> None:
        """`port` 0 takes a free one. Without `webhook_secret` a random one is made.

        :param tls: serve HTTPS with a certificate of a test authority (see `ca_bundle`).
        :param host_names: answered besides the loopback names, and named in the certificate; lower case.
        :param fault_seed: of the sequence of `faults`.
        :raises SandboxError: `tls`, and the openssl program is missing or fails.
        """
        self.world = world or World.default()
        self.switches = switches or Switches()
        self.application = Application()
        self.access_token = secrets.token_hex(16)  # acts as user 1, application 3 "PBX bridge"; ends with expire_tokens
        self.credentials = Credentials(
            webhooks={WEBHOOK_USER: webhook_secret or secrets.token_hex(8)},
            tokens={self.access_token: Token(WEBHOOK_USER)},
        )
        self.fault_seconds = (
            FAULT_SECONDS  # how long "timeout_after_commit" stays silent before it drops the connection
        )
        self.host_names = (host, *host_names)
        self.lock = threading.Lock()  # of everything above and of the state
        self.interference = Interference()
        self.dice = Faults(fault_seed)
        self._time = Clock()
        self.state = State(self._time)
        self._pristine = copy.deepcopy((self.world, self.switches, self.credentials, self.application))
        self._authority = TestAuthority(host_names) if tls else None
        self._host, self._port = host, port
        self._life = threading.RLock()
        self._server: HttpServer | None = None
        self._revival: threading.Timer | None = None

    # -- where it is ---------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT` (or https); the port is known once it was started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._authority else 'http'}://{host}:{self._port}"

    @property
    def webhook_url(self) -> str:
        """The inbound webhook of user 1: `http://127.0.0.1:PORT/rest/1/SECRET/`."""
        return f"{self.url}/rest/{WEBHOOK_USER}/{self.credentials.webhooks[WEBHOOK_USER]}/"

    @property
    def ledger_url(self) -> str:
        """Where the ledger is served as JSON."""
        return self.url + front.LEDGER_PATH

    @property
    def oauth_url(self) -> str:
        """The authorisation server's origin: this server plays both."""
        return self.url

    @property
    def ca_bundle(self) -> Path:
        """The certificate of the authority that a client must trust. :raises SandboxError: it was made without TLS."""
        if self._authority is None:
            raise SandboxError("this portal speaks no TLS", "Make it with Portal(tls=True).")
        return self._authority.ca_bundle

    @property
    def is_up(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> Portal:
        """Listen. :raises OSError: the port is taken."""
        with self._life:
            self._forget_revival()
            self.interference.begin()
            tls = self._authority.server_context() if self._authority else None
            self._server = HttpServer(self._host, self._port, functools.partial(front.application, self), tls)
            self._port = self._server.port
            self._give_handler()
        return self

    def stop(self) -> None:
        """Refuse and cut all connections; requests held by a gate or a delay are dropped undone."""
        with self._life:
            self._forget_revival()
            server, self._server = self._server, None
            if server:
                self.interference.end()
                server.close()

    def down_for(self, seconds: float) -> None:
        """`stop`, and `start` again after real `seconds` in the background; a stop or start meanwhile goes first."""
        with self._life:
            self.stop()
            timer = threading.Timer(seconds, lambda: self._revive(timer))
            timer.daemon = True
            self._revival = timer
            timer.start()

    def _revive(self, timer: threading.Timer) -> None:
        with self._life:
            if self._revival is timer:
                self.start()

    def _forget_revival(self) -> None:
        revival, self._revival = self._revival, None
        if revival:
            revival.cancel()

    def _give_handler(self) -> None:
        self.application.handler_url = self.application.handler_url or f"{self.url}/handler"

    def __enter__(self) -> Portal:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- what tests do with it -----------------------------------------------------------------------------------

    def ledger(self) -> dict[str, Any]:
        """The same plain data as `/sandbox/ledger.json`."""
        with self.lock:
            return ledger(self.state, self.world)

    def recording(self, call_id: str) -> tuple[str, bytes] | None:
        """A finished call's recording: its name and bytes; None where it has none, or one too old to be kept."""
        with self.lock:
            call = self.state.finished_call(call_id)
            record = call.records[-1] if call and call.records else None
            content = self.state.sounds.get(record.file_id) if record else None
            return (record.name, content) if record and content is not None else None

    def reset(self) -> None:
        """Forget all calls and requests, restore world, switches, credentials and application, drop delays, scripts,
        faults and gates. The clock goes on."""
        with self.lock:
            self.state = State(self._time)
            self.world, self.switches, self.credentials, self.application = copy.deepcopy(self._pristine)
            self._give_handler()
            self.dice.chances, self.fault_seconds = [], FAULT_SECONDS
        self.interference.clear()

    def issue_tokens(self, user_id: int = WEBHOOK_USER) -> dict[str, Any]:
        """A new pair of tokens that acts as `user_id`: what a token reply holds, without HTTP."""
        with self.lock:
            return self.authorization_server(self.url).issue(user_id)

    def click(
        self,
        user_id: int,
        number: str,
        *,
        line: str = "",
        crm_entity_type: str = "",
        crm_entity_id: int | str = 0,
        from_mobile: bool = False,
    ) -> str:
        """A person clicks on a number in the portal: the call is registered and ONEXTERNALCALLSTART sent. The CALL_ID.

        :param number: as it stands in the CRM.
        :param line: the number of one of the application's lines; "" is the application itself.
        :raises SandboxError: the application has not bound the event, or there is no such person or line.
        """
        with self.lock:
            context = self._own_context()
            entity = (crm_entity_type, int(crm_entity_id or 0))
            call, data = clicks.click(context, user_id, number, line, entity, from_mobile)
            fire(context, self.authorization_server(self.url), CALL_START, data, user_id)
            return call.call_id

    def callback(
        self,
        number: str,
        *,
        text: str = "",
        line: str = "",
        crm_entity_type: str = "",
        crm_entity_id: int | str = 0,
    ) -> str:
        """Somebody sends a callback form: ONEXTERNALCALLBACKSTART, which names no call; its MESSAGE_ID.

        Without an entity it is the number's client, else a new lead.

        :raises SandboxError: the application has not bound the event, or there is no such line.
        """
        with self.lock:
            context = self._own_context()
            data = clicks.callback(context, number, text, line, (crm_entity_type, int(crm_entity_id or 0)))
            return fire(context, self.authorization_server(self.url), CALLBACK_START, data, 0)

    def expire_tokens(self) -> None:
        """All access tokens expire now, `access_token` too."""
        with self.lock:
            for token in self.credentials.tokens.values():
                token.expires = self._time.monotonic()

    def revoke_refresh_tokens(self) -> None:
        """All refresh tokens become an invalid_grant."""
        with self.lock:
            self.credentials.refresh_tokens.clear()

    @property
    def clock(self) -> Callable[[], float]:
        """The function that gives the portal its seconds: `time.monotonic`, or one that a test sets (SimulatedTime).

        Life times of tokens, the bucket, operating time, the 30 minutes of the dedupe and all dates follow it; delays,
        `fault_seconds` and `down_for` are real seconds.
        """
        return self._time.source

    @clock.setter
    def clock(self, source: Callable[[], float]) -> None:
        self._time.source = source

    def now(self) -> float:
        """The portal's wall clock: seconds since 1970."""
        return self._time.now()

    @property
    def faults(self) -> list[tuple[float, str]]:
        """Set (probability, kind) pairs, kinds as in `faults.KINDS`: each request meets one of them at most.

        The ledger's requests tell which one in `fault`. The sequence follows from the seed and the order of arrival.

        :raises ValueError: when set to an unknown kind, or to probabilities that are none together.
        """
        return list(self.dice.chances)

    @faults.setter
    def faults(self, chances: Sequence[tuple[float, str]]) -> None:
        self.dice.chances = checked(chances)

    def seed_faults(self, seed: int) -> None:
        """Begin the sequence of `faults` afresh."""
        self.dice.seed(seed)

    @property
    def delay_seconds(self) -> dict[str, float]:
        """Seconds to wait before a method is worked on, by method name in lower case."""
        return self.interference.delay_seconds

    @property
    def scripted_replies(self) -> ScriptedReplies:
        """Replies to send instead of real ones, or functions that alter real ones."""
        return self.interference.scripted_replies

    def gate(self, method: str) -> Gate:
        """Hold the requests of a method (any case), before they are worked on, until released."""
        return self.interference.gate(method)

    # -- what the front door needs -------------------------------------------------------------------------------

    def clock_reading(self) -> float:
        """The portal's monotonic seconds."""
        return self._time.monotonic()

    def context(self, call: RestCall) -> Context:
        """What a method has at hand for this call; who the caller is, is found out later."""
        return self._context(call.host_url)

    def _own_context(self) -> Context:
        """For what happens inside the portal."""
        return self._context(f"{self.url}/")

    def _context(self, host_url: str) -> Context:
        return Context(
            self.state,
            self.world,
            self.switches,
            self.credentials,
            self.application,
            UNKNOWN_CALLER,
            host_url,
            self.lock,
            self.scripted_replies,
        )

    def authorization_server(self, origin: str) -> AuthorizationServer:
        """The OAuth side, for a client that knows this server as `origin`; used under the lock."""
        return AuthorizationServer(self.application, self.credentials, self.switches, self._time, origin)
