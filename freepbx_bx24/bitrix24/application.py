"""The way in of a local application: its access token is renewed once for everybody, and nobody waits too long."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

from ..errors import LoginNeeded, PortalAuthorisation, PortalError, PortalUnreachable
from ..settings import PortalSettings
from .access import Key
from .oauth import INVALID_GRANT, Application, OAuth
from .token_store import TokenStore
from .tokens import Tokens, from_grant
from .transport import Transport, origin_of, split

LOG = logging.getLogger("bx24.portal")

AHEAD_SECONDS = 60.0  # before its end an access token is renewed beside the calls, which go on with the old one
RENEW_SECONDS = (
    30.0  # the most that one renewal may take: longer than any caller waits, since a lost answer costs a login
)
LOCK_SECONDS = 2 * RENEW_SECONDS
LOOK_SECONDS = 0.5  # between two looks whether the token file has changed
SHORTEST_PAUSE = 1.0  # after a renewal that failed; doubles up to
LONGEST_PAUSE = 30.0
IDLE_SECONDS = 90 * 86400.0  # half of the life of a refresh token

# A portal that refuses each new token at once must not make us ask for one with every request.
EARLY_RENEWALS = 5
EARLY_SECONDS = 60.0

NOBODY = "nobody has logged in yet"
OTHER_APPLICATION = "the token belongs to another application than portal.client_id"


class _Renewal:
    """One renewal that is under way; everybody who needs its outcome waits for `over`."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.error: PortalError | None = None


class ApplicationAccess:
    """Access through a local application. All its methods may be called from any thread.

    The token is renewed by a thread of its own, so that a caller whose time is up can leave while the renewal goes on
    for the others; across processes the token file's lock makes it one renewal.

    :param portal_url: the portal's configured address; the tokens' `client_endpoint` may name a newer one.
    """

    def __init__(self, portal_url: str, oauth: OAuth, store: TokenStore) -> None:
        self._portal = portal_url
        self._oauth = oauth
        self._store = store
        self._lock = threading.Lock()
        self._tokens: Tokens | None = None
        self._ends = 0.0  # of the access token, on the monotonic clock
        self._signature: tuple[int, int, int] | None = None
        self._looked = float("-inf")
        self._renewal: _Renewal | None = None
        self._failure: tuple[PortalError, float] | None = None  # and until when it stands
        self._failures = 0
        self._early: deque[float] = deque(maxlen=EARLY_RENEWALS)
        # Received, but the disk did not take it: the pair, and the refresh token that it replaces.
        self._unwritten: tuple[Tokens, str] | None = None

    def __repr__(self) -> str:
        return f"ApplicationAccess({self._portal})"

    @property
    def origin(self) -> str:
        """Where the portal is, by its tokens where there are some, else as configured."""
        with self._lock:
            self._look()
            return endpoint(self._portal, self._tokens.client_endpoint if self._tokens else "")[0]

    def key(self, total_seconds: float) -> Key:
        """Return the key; where the access token has ended, renew it within `total_seconds`.

        Shortly before its end it is renewed in the background, and nobody waits.

        :raises LoginNeeded: at once, without the network, as long as the token file does not change.
        :raises PortalUnreachable: it can't be renewed now; nothing was sent.
        """
        with self._lock:
            held = self._usable()
            left = self._ends - time.monotonic()
            if left > min(AHEAD_SECONDS, held.lifetime / 10):
                return self._key(held)
            renewal = self._renew(held.access_token, must=left <= 0)
            if left > 0:
                return self._key(held)
        return self._outcome(renewal, total_seconds)

    def renewed(self, refused: Key, total_seconds: float) -> Key | None:
        """Return another key in place of one that the portal has just called expired.

        :returns: None where the portal keeps calling new tokens expired: another one would not help.
        :raises LoginNeeded, PortalUnreachable: as for `key`.
        """
        token = refused.parameters.get("auth", "")
        with self._lock:
            self._look(at_once=True)
            held = self._usable()
            left = self._ends - time.monotonic()
            if held.access_token != token and left > 0:
                return self._key(held)
            if self._renewal is None and left > held.lifetime / 2 and not self._may_be_early():
                LOG.error("the portal calls new access tokens expired: no more are asked for within this minute")
                return None
            renewal = self._renew(held.access_token, must=True)
        return self._outcome(renewal, total_seconds)

    def idle_refresh_due(self) -> bool:
        """Say whether the pair was not renewed for so long that it should be, lest it ends: then call `key`."""
        with self._lock:
            self._look()
            held = self._tokens
        return held is not None and not held.dead and time.time() - (held.expires - held.lifetime) > IDLE_SECONDS

    def settle(self, longest: float) -> None:
        """Let a renewal that is under way end, before the process does: its answer would be lost.

        :param longest: seconds.
        """
        with self._lock:
            renewal = self._renewal
        if renewal is not None:
            renewal.over.wait(longest)

    def _usable(self) -> Tokens:
        """Return the pair in memory, read anew where the file has changed. :raises LoginNeeded: there is none."""
        self._look()
        return _checked(self._tokens, self._oauth.application)

    def _look(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        self._store.adopt_leftover()
        signature = self._store.signature()
        if signature != self._signature:
            self._signature = signature
            self._take(self._store.read())

    def _take(self, tokens: Tokens | None) -> None:
        if tokens is None or self._tokens is None or tokens.access_token != self._tokens.access_token:
            self._ends = time.monotonic() + (tokens.seconds_left(time.time()) if tokens else 0.0)
        if tokens != self._tokens:
            self._failure, self._failures = None, 0
        self._tokens = tokens
        self._unwritten = None

    def _key(self, held: Tokens) -> Key:
        origin, path = endpoint(self._portal, held.client_endpoint)
        return Key(origin, path, {"auth": held.access_token}, (held.access_token, held.refresh_token))

    def _may_be_early(self) -> bool:
        now = time.monotonic()
        if len(self._early) == EARLY_RENEWALS and now - self._early[0] < EARLY_SECONDS:
            return False
        self._early.append(now)
        return True

    def _renew(self, token: str, must: bool) -> _Renewal:
        """Return the renewal that is under way, or begin one, unless the last one has failed a moment ago.

        :param token: the access token that is of no use any more. :param must: it is needed now.
        :raises PortalError: what the last one failed with.
        """
        if self._renewal is not None:
            return self._renewal
        renewal = _Renewal()
        if self._failure is not None and time.monotonic() < self._failure[1]:
            if must:
                raise self._failure[0].with_traceback(None)
            return renewal
        thread = threading.Thread(target=self._run, args=(renewal, token), name="renewal")
        try:
            # No daemon: a command that ends waits for the answer rather than lose it.
            thread.start()
        except RuntimeError:
            raise PortalUnreachable("the system gives no thread to renew the access token") from None
        self._renewal = renewal
        return renewal

    def _outcome(self, renewal: _Renewal, total_seconds: float) -> Key:
        if not renewal.over.wait(max(total_seconds, 0.0)):
            raise PortalUnreachable(f"the access token could not be renewed within {total_seconds:.1f} s")
        if renewal.error is not None:
            raise renewal.error.with_traceback(None)
        with self._lock:
            return self._key(_checked(self._tokens, self._oauth.application))

    def _run(self, renewal: _Renewal, token: str) -> None:
        tokens: Tokens | None = None
        error: PortalError | None = None
        try:
            tokens = self._exchange(token)
        except PortalAuthorisation as refused:
            error = refused
        except PortalError as failed:
            # The caller's own request was not sent, whatever became of ours.
            error = PortalUnreachable(f"the access token can't be renewed: {failed.message}", failed.hint)
            error.pause_seconds = failed.pause_seconds
        except Exception as broken:
            LOG.exception("the access token can't be renewed")
            error = PortalUnreachable(f"the access token can't be renewed: {type(broken).__name__}")
        with self._lock:
            self._renewal = None
            if tokens is not None:
                unwritten = self._unwritten
                self._signature = self._store.signature()
                self._take(tokens)
                self._unwritten = unwritten
            else:
                self._looked = float("-inf")
                self._look()  # what was marked as dead
            if error is not None:
                self._failures += 1
                pause = min(SHORTEST_PAUSE * 2 ** (self._failures - 1), LONGEST_PAUSE)
                self._failure = (error, time.monotonic() + max(pause, error.pause_seconds))
                LOG.warning("%s %s", error.message, error.hint)
            renewal.error = error
        renewal.over.set()

    def _exchange(self, token: str) -> Tokens:
        """Return a pair whose access token is another than `token`; only one thread of one process is in here."""
        with self._store.locked(LOCK_SECONDS):
            kept = _checked(self._store.read(), self._oauth.application)
            if self._unwritten is not None and self._unwritten[1] == kept.refresh_token:
                kept = self._unwritten[0]
            if kept.access_token != token and kept.seconds_left(time.time()) > 0:
                return kept
            with self._store.room() as room:
                try:
                    grant = self._oauth.refresh(kept.refresh_token, RENEW_SECONDS, kept.server_endpoint)
                except LoginNeeded as refused:
                    if refused.code.lower() != INVALID_GRANT:
                        raise
                    other = self._store.read()
                    if other is not None and other.refresh_token != kept.refresh_token and not other.dead:
                        return other
                    with contextlib.suppress(OSError):  # then it is asked again, a minute later
                        room.keep(replace(kept, dead=INVALID_GRANT, serial=kept.serial + 1))
                    raise
                tokens = from_grant(grant, self._oauth.application, kept, time.time())
                try:
                    room.keep(tokens)
                    self._unwritten = None
                except OSError as error:
                    LOG.error("the new token can't be kept, it is in memory alone: %s", error.strerror)
                    self._unwritten = (tokens, kept.refresh_token)
                LOG.info("the access token was renewed")
                return tokens


def application_access(portal: PortalSettings, state: Path, transport: Transport) -> ApplicationAccess:
    """Return the way in that the settings name. :param state: the folder where the token file is."""
    application = Application(portal.client_id, portal.client_secret)
    oauth = OAuth(transport, application, portal.url, portal.oauth_url)
    return ApplicationAccess(portal.url, oauth, TokenStore(state))


def endpoint(portal_url: str, client_endpoint: str) -> tuple[str, str]:
    """Return origin and path of the portal's REST.

    :param portal_url: as configured. :param client_endpoint: as the authorisation server named it: a renamed portal has
        another host there. It counts where it ends with /rest/ and is https, or http on loopback as the portal is.
    """
    configured, named = split(portal_url), split(client_endpoint)
    origin, other = origin_of(configured), origin_of(named)
    path = configured.path.rstrip("/") + "/rest/"
    same_kind = other.startswith("https:") or origin.startswith("http:")
    if other and same_kind and named.path.endswith("/rest/") and not named.query and named.username is None:
        return other, named.path
    return origin, path


def login_needed(why: str) -> LoginNeeded:
    """Return the error for a pair that is missing or of no use; the portal itself was not asked."""
    error = LoginNeeded("", "", 0)
    error.message = f"the local application is not logged in: {why}"
    error.args = (error.message,)
    return error


def _checked(tokens: Tokens | None, application: str) -> Tokens:
    """Return a pair that can be used or renewed. :raises LoginNeeded:"""
    if tokens is None:
        raise login_needed(NOBODY)
    if tokens.application != application:
        raise login_needed(OTHER_APPLICATION)
    if tokens.dead:
        raise login_needed(f"the portal has taken the token back ({tokens.dead})")
    return tokens
