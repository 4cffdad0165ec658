"""One client for all threads: a method and its parameters go to the portal, a result or an error of ours comes back."""

from __future__ import annotations

import json
import re
import time
from types import TracebackType
from typing import Mapping, Sequence

from ..errors import PortalBroken, PortalError, TokenExpired
from . import batch
from . import upload as uploads
from .access import Access, Key, WebhookAccess
from .budget import PLANS, Budget, Urgency
from .moves import Moves
from .replies import Result, read
from .together import Together
from .transport import HttpReply, Transport, origin_of, split

__all__ = ["Client", "Result", "Urgency", "webhook_client"]

_MOST_MOVES = 2
_METHOD = re.compile(r"[a-z0-9_.]+", re.ASCII | re.IGNORECASE)
_HEADERS = {"Content-Type": "application/json"}
_RENAMED = "If the portal was renamed, write its new address into the settings, or make a new webhook under it."


class Client:
    """The portal. All its methods may be called from any thread.

    Nothing is tried twice, with one exception: a request that was refused for an expired token, and so was not carried
    out, goes once more with a new one. A renamed portal answers with a redirect, which carries nothing out: the same
    request then goes to the new host, which is remembered.

    :param access: the way in. :param transport: the connections; closed with the client.
    :param budget: what may be sent when, shared with everything else on this host; without one there is no limit.
    :param moves: where renamed portals are.
    """

    def __init__(
        self, access: Access, transport: Transport, *, budget: Budget | None = None, moves: Moves | None = None
    ) -> None:
        self._access = access
        self._transport = transport
        self._budget = budget or Budget(None, PLANS["self-hosted"])
        self._moves = moves or Moves()
        self._together = Together(self._send_register, self._send_registers, self._budget)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def origin(self) -> str:
        """Where the portal is, as `https://HOST[:PORT]`: it changes when a renamed portal sends us on."""
        return self._moves.current(self._access.origin)

    @property
    def half_full(self) -> bool:
        """Whether half of the requests that we may send at once have been sent: who can wait a moment shares one."""
        return self._budget.half_full

    @property
    def limited(self) -> bool:
        """Whether the portal's plan limits our requests."""
        return self._budget.limited

    def has_room(self, urgency: Urgency) -> bool:
        """Whether the portal's limits have room for a request of this class of urgency now."""
        return self._budget.has_room(urgency)

    def gathering(self, longest: float) -> float:
        """Seconds for which it is worth to wait for others who share the request.

        None up to a half-full bucket, then the more the fuller it is; `longest` where a recording would find no room.
        """
        return longest * self._budget.scarcity

    def settle(self, longest: float) -> None:
        """Before the process ends: let the answer to a token's renewal arrive, within `longest` seconds."""
        self._access.settle(longest)

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def call(
        self,
        method: str,
        params: Mapping[str, object],
        *,
        total_seconds: float,
        urgency: Urgency = Urgency.REGISTER,
        wait_seconds: float | None = None,
    ) -> Result:
        """Return the portal's answer to one method.

        :param method: as in the portal's REST documentation, for instance `telephony.externalCall.register`.
        :param params: the method's parameters, of JSON's types.
        :param total_seconds: the whole time that this may take, waiting for a token and for the request budget
            included; only a hanging name resolution can take longer.
        :param urgency: who goes first where the portal's limits do not let everybody go.
        :param wait_seconds: the part of the whole time that may be spent on waiting for the budget; None: all of it.
        :raises PortalWaits: the limits left no room in that time, nothing was sent.
        :raises PortalUnreachable: nothing was sent. :raises PortalTimeout: no whole answer came in time.
        :raises PortalBroken: what came is no answer. :raises PortalRefused: (and below) the portal's own errors.
        """
        result, _ = self._counted(method, params, (method,), total_seconds, urgency, wait_seconds)
        self._budget.heard(method, result.time)
        return result

    def batch(
        self,
        commands: Mapping[str, str],
        *,
        total_seconds: float,
        urgency: Urgency = Urgency.BACKLOG,
        wait_seconds: float | None = None,
    ) -> dict[str, Result | PortalError]:
        """Send up to fifty commands (of `batch.command`) as one request; return for each key its result or its error.

        The other parameters are those of `call`.

        :raises PortalError: where the request as a whole fails: then none has an answer.
        """
        methods = tuple(map(batch.method_of, commands.values()))
        parameters = batch.parameters(commands)
        result, key = self._counted(batch.METHOD, parameters, methods, total_seconds, urgency, wait_seconds)
        answers = batch.answers(commands, result.result, key.secrets)
        self._budget.heard_all(zip(methods, answers.values()))
        return answers

    def upload(
        self, address: str, body: uploads.Multipart, *, total_seconds: float, wait_seconds: float | None = None
    ) -> Result:
        """Send a file to the upload address that attachRecord has just given; returns the portal's answer.

        The address carries the way in: it is used once, at the portal alone, and no redirect is followed.

        :raises PortalError: as `call` does; nothing that is raised shows the address.
        """
        url, hidden = uploads.at_the_portal(address, self.origin)
        ends, methods = time.monotonic() + total_seconds, (uploads.METHOD,)
        self._budget.admit(methods, Urgency.ATTACH, total_seconds if wait_seconds is None else wait_seconds)
        try:
            left = ends - time.monotonic()
            reply = self._transport.exchange("POST", url, left, body, {"Content-Type": body.content_type})
            answer = read(reply.status, reply.body, hidden, reply.headers)
        except PortalError as error:
            self._budget.refused(methods, error)
            raise
        self._budget.answered(methods)
        return answer

    def ask(
        self,
        method: str,
        params: Mapping[str, object],
        *,
        total_seconds: float,
        patience_seconds: float | None = None,
    ) -> Result:
        """Return the portal's answer to a method that a caller waits for.

        As `call` at the highest urgency; those who find no room of their own soon go together, as one request.

        :param patience_seconds: how long the caller waits; the answer is of use even after that.
        """
        _check_name(method)
        self._access.key(total_seconds)  # without one nobody needs to wait for room
        return self._together.ask(method, params, total_seconds, patience_seconds)

    def _counted(
        self,
        method: str,
        params: Mapping[str, object],
        methods: Sequence[str],
        seconds: float,
        urgency: Urgency,
        wait_seconds: float | None,
    ) -> tuple[Result, Key]:
        """Ask when the budget allows, and tell it how that ended."""
        _check_name(method)
        ends = time.monotonic() + seconds
        self._access.key(seconds)  # without one nobody needs to wait for room
        left = ends - time.monotonic()
        self._budget.admit(methods, urgency, left if wait_seconds is None else min(left, wait_seconds))
        try:
            answer = self._send(method, params, methods, ends, urgency)
        except PortalError as error:
            self._budget.refused(methods, error)
            raise
        self._budget.answered(methods)
        return answer

    def _send_register(self, method: str, params: Mapping[str, object], seconds: float) -> Result:
        return self._send(method, params, (method,), time.monotonic() + seconds, Urgency.REGISTER)[0]

    def _send_registers(self, commands: Mapping[str, str], seconds: float) -> Mapping[str, Result | PortalError]:
        methods, ends = tuple(map(batch.method_of, commands.values())), time.monotonic() + seconds
        result, key = self._send(batch.METHOD, batch.parameters(commands), methods, ends, Urgency.REGISTER)
        return batch.answers(commands, result.result, key.secrets)

    def _send(
        self, method: str, params: Mapping[str, object], methods: Sequence[str], ends: float, urgency: Urgency
    ) -> tuple[Result, Key]:
        """One admitted request, and a second one where the first had an expired token."""
        key = self._access.key(ends - time.monotonic())
        try:
            return self._post(key, method, params, ends), key
        except TokenExpired as expired:
            other = self._access.renewed(key, ends - time.monotonic())
            if other is None:
                raise
            self._budget.refused(methods, expired)
        self._budget.admit(methods, urgency, ends - time.monotonic())
        return self._post(other, method, params, ends), other

    def _post(self, key: Key, method: str, params: Mapping[str, object], ends: float) -> Result:
        body = json.dumps({**params, **key.parameters}, allow_nan=False).encode()
        reply = self._exchange(key, f"{key.path}{method}.json", body, ends)
        return read(reply.status, reply.body, key.secrets, reply.headers)

    def _exchange(self, key: Key, path: str, body: bytes, ends: float) -> HttpReply:
        asked = origin = self._moves.current(key.origin)
        for moves in range(_MOST_MOVES + 1):
            reply = self._transport.exchange("POST", origin + path, ends - time.monotonic(), body, _HEADERS)
            if not 300 <= reply.status < 400:
                if moves:
                    self._moves.remember(asked, origin)
                return reply
            origin = _moved(origin, path, reply.headers.get("location", ""))
        raise PortalBroken("the portal redirects from host to host", _RENAMED)


def _check_name(method: str) -> None:
    if not _METHOD.fullmatch(method):
        raise ValueError("this is no name of a method")


def webhook_client(webhook_url: str, ca_bundle: str = "", connect_seconds: float = 3.0) -> Client:
    """Return a client of the portal behind an inbound webhook, with a budget of its own that has no limits.

    :raises ConfigurationError: the URL is no webhook's URL, or the file can't be used. It never shows the URL.
    """
    return Client(WebhookAccess(webhook_url), Transport(ca_bundle, connect_seconds))


def _moved(origin: str, path: str, location: str) -> str:
    """Return the new origin that a redirect names.

    Only a redirect to the same path is a renamed portal's; one to a page for people must not be given the secret.
    """
    address = split(location)
    new = origin_of(address)
    same_scheme = new.startswith(origin.partition(":")[0] + ":")
    if not same_scheme or new == origin or address.path.rstrip("/") != path:
        raise PortalBroken("the portal redirects to something that is no portal", _RENAMED)
    return new
