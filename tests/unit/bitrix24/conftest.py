"""Portals for these tests: the sandbox's faithful one, and raw sockets for those that no faithful one would be."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading

import pytest

from freepbx_bx24.bitrix24.client import webhook_client
from freepbx_bx24.sandbox.portal import Portal

SECRET = "s3cretsecret0"


class RawPortal:
    """A listening socket whose every connection is handed to `behave(connection, number)` in a thread of its own.

    `requests` are whole requests read by `read_request`; `connections` counts from 1.
    """

    def __init__(self, behave, tls=None, backlog=64, address="127.0.0.1"):
        self.behave, self.tls = behave, tls
        self.requests, self.connections = [], 0
        self._lock = threading.Lock()
        self._open = []
        self.listening = socket.create_server((address, 0), backlog=backlog)
        self.port = self.listening.getsockname()[1]
        scheme = "https" if tls else "http"
        self.webhook_url = f"{scheme}://{address}:{self.port}/rest/1/{SECRET}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listening.accept()
                with self._lock:
                    self.connections += 1
                    self._open.append(connection)
                    number = self.connections
                threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection, number):
        with contextlib.suppress(OSError):
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                self.behave(self, connection, number)

    def read_request(self, connection):
        """Return one whole request as (head, body); b"" as its head where the other side has gone."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return b"", b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))[15:])
        while len(body) < length:
            body += connection.recv(65536)
        with self._lock:
            self.requests.append((head, body))
        return head, body

    def close(self):
        # shutdown, for close alone leaves accept() waiting
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """An HTTP reply with its length."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


@pytest.fixture
def raw_portal():
    portals = []

    def make(behave, **options):
        portals.append(RawPortal(behave, **options))
        return portals[-1]

    yield make
    for portal in portals:
        portal.close()


@pytest.fixture
def reply():
    return answer


@pytest.fixture
def patient(reply):
    """A portal that answers every request on a connection with that request's own body as the result."""

    def behave(portal, connection, number):
        while True:
            head, body = portal.read_request(connection)
            if not head:
                return
            connection.sendall(reply(b'{"result": %s}' % body))

    return behave


@pytest.fixture
def secret():
    return SECRET


@pytest.fixture
def portal():
    with Portal() as running:
        yield running


@pytest.fixture
def client(portal):
    with webhook_client(portal.webhook_url) as connected:
        yield connected


@pytest.fixture
def each_alone(portal):
    """Asks with a new client each time: one that was told to wait would do so."""

    def ask(method="profile", parameters=None):
        with webhook_client(portal.webhook_url) as connected:
            return connected.call(method, parameters or {}, total_seconds=5)

    return ask


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Path of a certificate for 127.0.0.1 (and no name), which is its own authority, and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    extensions = ("subjectAltName=IP:127.0.0.1", "keyUsage=critical,keyCertSign,digitalSignature")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=sandbox", "-keyout", str(key), "-out", str(certificate)]
    for extension in extensions:
        command += ["-addext", extension]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def server_tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, certificate))
    return context
