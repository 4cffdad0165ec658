"""SIP messages as text: parsed, built, quoted, and the few header values a scripted phone needs. No I/O, no clock.

RFC 3261 (messages), RFC 4566 (SDP), RFC 2617 (digest). Headers are read as UTF-8; bytes that are not survive the way
there and back (surrogateescape), because hostile ones are part of the tests.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import urllib.parse
from dataclasses import dataclass
from typing import NamedTuple, Sequence

COMPACT = {"f": "from", "t": "to", "i": "call-id", "v": "via", "m": "contact", "c": "content-type"}
REASONS = {
    100: "Trying",
    180: "Ringing",
    200: "OK",
    202: "Accepted",
    404: "Not Found",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    503: "Service Unavailable",
    603: "Decline",
}
Header = tuple[str, str]


class Address(NamedTuple):
    """A From, To, Contact or Refer-To value taken apart; `user` is percent-decoded."""

    name: str
    user: str
    uri: str
    tag: str


@dataclass(frozen=True)
class Message:
    """A request (`method` set) or a response (`status` not 0)."""

    start: str
    headers: Sequence[Header]
    body: str = ""

    @property
    def method(self) -> str:
        """INVITE, ACK, ...; empty for a response."""
        return "" if self.start.startswith("SIP/") else self.start.split(" ")[0]

    @property
    def status(self) -> int:
        """The status of a response; 0 for a request."""
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/") else 0

    @property
    def uri(self) -> str:
        """The request URI."""
        return self.start.split(" ")[1]

    def get(self, name: str) -> str:
        """The first header of that name (any case), empty when there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    def all(self, name: str) -> Sequence[Header]:
        """Every header of that name, in order."""
        return [(key, value) for key, value in self.headers if key.lower() == name]

    @property
    def cseq(self) -> tuple[int, str]:
        """CSeq's number and method."""
        number, _, method = self.get("cseq").partition(" ")
        return int(number), method.strip()

    @property
    def branch(self) -> str:
        """The branch of the topmost Via: the name of the transaction."""
        found = re.search(r"branch=([^;,\s]+)", self.get("via"))
        return found[1] if found else ""

    def encode(self) -> bytes:
        """The datagram; Content-Length is counted here."""
        body = self.body.encode("utf-8", "surrogateescape")
        headers = [f"{name}: {value}" for name, value in [*self.headers, ("Content-Length", str(len(body)))]]
        return "\r\n".join([self.start, *headers, "", ""]).encode("utf-8", "surrogateescape") + body


def parse(data: bytes) -> Message:
    """Read one datagram. Raise ValueError when it is no SIP message (keep-alives among them)."""
    head, _, body = data.decode("utf-8", "surrogateescape").partition("\r\n\r\n")
    start, *lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
    if "SIP/2.0" not in start:
        raise ValueError("no SIP message")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        headers.append((COMPACT.get(name.strip().lower(), name.strip()), value.strip()))
    return Message(start, headers, body)


def address(value: str) -> Address:
    """Take a name-addr or addr-spec header value apart."""
    found = re.match(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^<"]*?))\s*<([^>]*)>(.*)$', value, re.DOTALL)
    if found:
        quoted, plain, uri, parameters = found.groups()
        name = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
    else:
        uri, _, parameters = value.partition(";")
        name, parameters = "", ";" + parameters
    tag = re.search(r";\s*tag=([^;\s]+)", parameters)
    return Address(name, user_of(uri), uri.strip(), tag[1] if tag else "")


def user_of(uri: str) -> str:
    """The user part of a SIP URI, percent-decoded, without its parameters; empty when there is none."""
    found = re.match(r"\s*sips?:(?:([^@]*)@)?", uri)
    user = (found[1] if found else "") or ""
    return urllib.parse.unquote(user.split(";")[0].split(":")[0], errors="surrogateescape")


def name_address(name: str | bytes, uri: str, tag: str = "") -> str:
    """Build `"name" <uri>;tag=...`.

    :param name: text is quoted as SIP wants it; bytes stand between the quotes exactly as given, however hostile.
    """
    if isinstance(name, bytes):
        shown = f'"{name.decode("utf-8", "surrogateescape")}" '
    else:
        shown = '"' + re.sub(r'(["\\])', r"\\\1", name) + '" ' if name else ""
    return f"{shown}<{uri}>" + (f";tag={tag}" if tag else "")


def number_uri(user: str, host: str) -> str:
    """`sip:user@host`, what SIP does not allow in a user part percent-encoded; without a user `sip:host`."""
    return f"sip:{urllib.parse.quote(user, safe='+*-_.!~()&=$,;?/')}@{host}" if user else f"sip:{host}"


def token() -> str:
    """A fresh word for a tag, a branch or a Call-ID."""
    return secrets.token_hex(8)


def response(request: Message, status: int, tag: str, extra: Sequence[Header] = (), body: str = "") -> Message:
    """The answer to `request`, its Via, From, To, Call-ID and CSeq copied and `tag` added to To (RFC 3261, 8.2.6)."""
    to = request.get("to")
    if tag and "tag=" not in to.rpartition(">")[2]:
        to += f";tag={tag}"
    copied = [*request.all("via"), *request.all("record-route"), ("From", request.get("from")), ("To", to)]
    same = [("Call-ID", request.get("call-id")), ("CSeq", request.get("cseq"))]
    return Message(f"SIP/2.0 {status} {REASONS.get(status, 'Refused')}", [*copied, *same, *extra], body)


def session(host: str, port: int) -> str:
    """An SDP offer or answer: one G.711 stream at that address, telephone events beside it."""
    head = ["v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", f"m=audio {port} RTP/AVP 0 8 101"]
    maps = ["a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000"]
    return "\r\n".join([*head, *maps, "a=ptime:20", "a=sendrecv", ""])


def media_address(body: str) -> tuple[str, int] | None:
    """Where the other side of an SDP wants its sound; None when there is none."""
    host = re.search(r"^c=IN IP4 (\S+)", body, re.MULTILINE)
    port = re.search(r"^m=audio (\d+)", body, re.MULTILINE)
    return (host[1], int(port[1])) if host and port and port[1] != "0" else None


def digest(challenge: str, method: str, uri: str, user: str, password: str) -> str:
    """The Authorization value that answers a Digest challenge (MD5, with or without qop=auth)."""
    found = re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', challenge)
    given = {name.lower(): quoted or plain for name, quoted, plain in found}
    realm, nonce = given.get("realm", ""), given.get("nonce", "")
    secret, asked = _md5(f"{user}:{realm}:{password}"), _md5(f"{method}:{uri}")
    fields = f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm=MD5'
    if "opaque" in given:
        fields += f', opaque="{given["opaque"]}"'
    if "auth" not in given.get("qop", "").split(","):
        return f'{fields}, response="{_md5(f"{secret}:{nonce}:{asked}")}"'
    own = token()
    proof = _md5(f"{secret}:{nonce}:00000001:{own}:auth:{asked}")
    return f'{fields}, qop=auth, nc=00000001, cnonce="{own}", response="{proof}"'


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()
