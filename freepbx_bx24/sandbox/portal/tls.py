"""A test authority, and a certificate of it for a portal on this machine, made by the openssl program."""

from __future__ import annotations

import contextlib
import ipaddress
import shutil
import ssl
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from freepbx_bx24.errors import SandboxError

DAYS = "7"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

# What strict verifiers (Python 3.13 and later) want to see in both.
_AUTHORITY = """[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""
_SERVER = """basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


class TestAuthority:
    """An authority in a folder of its own, which goes when the object does.

    :ivar ca_bundle: path of the authority's certificate, for clients.
    """

    __test__ = False  # no test, whatever its name looks like to pytest

    def __init__(self, names: Sequence[str] = ()) -> None:
        """Make the authority, and a certificate for this machine and `names`.

        :raises SandboxError: the openssl program is missing, or refuses.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="bx24-portal-tls-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self.ca_bundle = self._folder / "authority.pem"
        (self._folder / "authority.conf").write_text(_AUTHORITY, encoding="ascii")
        alternatives = ",".join(map(_alternative, (*LOCAL_NAMES, *names)))
        (self._folder / "server.conf").write_text(_SERVER.format(names=alternatives), encoding="ascii")
        authority = ["-keyout", "authority.key", "-out", "authority.pem", "-days", DAYS]
        self._openssl("req", "-x509", "-config", "authority.conf", "-subj", "/CN=Test authority", *_KEY, *authority)
        request = ["-config", "authority.conf", "-subj", "/CN=localhost", "-keyout", "server.key"]
        self._openssl("req", "-new", *_KEY, *request, "-out", "server.csr")
        signer = ["-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", DAYS]
        self._openssl("x509", "-req", "-in", "server.csr", *signer, "-extfile", "server.conf", "-out", "server.pem")

    def server_context(self) -> ssl.SSLContext:
        """What a server needs to speak TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        return context

    def _openssl(self, *arguments: str) -> None:
        try:
            done = subprocess.run(["openssl", *arguments], cwd=self._folder, capture_output=True, text=True)
        except FileNotFoundError:
            raise SandboxError("the openssl program is missing", "Install it: `apt-get install openssl`.") from None
        if done.returncode:
            raise SandboxError(f"openssl {arguments[0]} failed: {done.stderr.strip()[-300:]}")


def _alternative(name: str) -> str:
    with contextlib.suppress(ValueError):
        return f"IP:{ipaddress.ip_address(name)}"
    return f"DNS:{name}"
