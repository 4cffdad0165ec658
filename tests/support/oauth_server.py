"""An authorisation server and a small portal on a real port: single-use codes, refresh tokens void once used."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CLIENT_ID = "local.0123456789abcd.01234567"
CLIENT_SECRET = "S3cretClientSecret"
SCOPE = "crm,telephony,user"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class OAuthServer:
    """Counts what it is asked, and can be told to behave badly.

    :ivar lifetime: seconds of an access token. :ivar delay: seconds before each answer of /oauth/token/.
    :ivar reply: (status, body bytes) instead of what it would say itself; None: itself.
    :ivar extra: members that are put into each grant. :ivar refreshes: grants given for a refresh token.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lifetime, self.delay, self.serial = 3600, 0.0, 0
        self.reply: tuple[int, bytes] | None = None
        self.extra: dict[str, Any] = {}
        self.scope = SCOPE
        self.refreshes = 0
        self.asked: list[dict[str, str]] = []
        self.codes: set[str] = set()
        self.refresh_tokens: set[str] = set()
        self.access_tokens: set[str] = set()
        self.called: list[str] = []
        handler = type("Handler", (_Handler,), {"oauth": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def code(self) -> str:
        """A fresh code, as a person who has just agreed gets it."""
        with self.lock:
            self.serial += 1
            self.codes.add(f"S3cretCode{self.serial}")
            return f"S3cretCode{self.serial}"

    def expire(self) -> None:
        """No access token is valid any more."""
        self.access_tokens.clear()

    def revoke(self) -> None:
        """No refresh token is valid any more."""
        self.refresh_tokens.clear()

    def token(self, query: dict[str, str]) -> tuple[int, bytes]:
        with self.lock:
            self.asked.append(query)
            if self.reply is not None:
                return self.reply
            if query.get("client_id") != CLIENT_ID:
                return 200, b'{"error": "wrong_client"}'
            if query.get("client_secret") != CLIENT_SECRET:
                said = f"wrong secret {query.get('client_secret')}"  # a server that tells too much
                return 400, json.dumps({"error": "invalid_client", "error_description": said}).encode()
            kind = query.get("grant_type")
            known = self.codes if kind == "authorization_code" else self.refresh_tokens
            shown = query.get("code" if kind == "authorization_code" else "refresh_token", "")
            if shown not in known:
                return 400, json.dumps({"error": "invalid_grant", "error_description": shown}).encode()
            known.discard(shown)
            self.refreshes += kind == "refresh_token"
            return 200, json.dumps(self.grant()).encode()

    def grant(self) -> dict[str, Any]:
        self.serial += 1
        access, refresh = f"S3cretAccess{self.serial}", f"S3cretRefresh{self.serial}"
        self.access_tokens.add(access)
        self.refresh_tokens.add(refresh)
        return {
            "access_token": access,
            "refresh_token": refresh,
            "expires": int(time.time()) + self.lifetime,
            "expires_in": self.lifetime,
            "client_endpoint": f"{self.url}/rest/",
            "server_endpoint": "https://oauth.bitrix.info/rest/",
            "domain": "oauth.bitrix.info",
            "member_id": "0123456789abcdef",
            "scope": self.scope,
            "status": "L",
            "user_id": 7,
            **self.extra,
        }

    def method(self, name: str, parameters: dict[str, Any]) -> tuple[int, bytes]:
        with self.lock:
            self.called.append(name)
            if parameters.get("auth") not in self.access_tokens:
                said = {"error": "expired_token", "error_description": "The access token provided has expired"}
                return 401, json.dumps(said).encode()
        person = [{"ID": "7", "NAME": "Service", "LAST_NAME": "Admin\u202e\x1b[31m", "ACTIVE": True}]
        result: object = person if name == "user.get" else []
        return 200, json.dumps({"result": result, "time": {}}).encode()


class _Handler(BaseHTTPRequestHandler):
    oauth: OAuthServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        status, body = self.oauth.token(query) if address.path == "/oauth/token/" else (404, b"")
        self._answer(status, body, self.oauth.delay)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = self.path.rpartition("/")[2]
        name = name[: -len(".json")] if name.endswith(".json") else name
        self._answer(*self.oauth.method(name, json.loads(body)), 0.0)

    def _answer(self, status: int, body: bytes, delay: float) -> None:
        time.sleep(delay)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unused: object) -> None:
        pass
