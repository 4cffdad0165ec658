"""telephony.externalCall.attachRecord and the upload address it gives out: recordings of finished calls."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.errors import refusal, system_error
from freepbx_bx24.sandbox.portal.state import Bare, Call, Context, Record

# As portals say it, and as the documentation has it.
NOT_FINISHED = (
    "Call is not found in the statistic table. Looks like it is not finished yet.",
    "Call is not found in the statistic table. It looks like it is not finished yet.",
)
NO_MODE = (
    "Required parameters are not set. Request should contain or URL or FILENAME parameter",
    "Required parameters are not set. Request should contain either URL or FILENAME parameter",
)
WRONG_EXTENSION = "Wrong file extension. Only wav and mp3 are allowed"
NOT_AUDIO = "The file type is not allowed"  # real portals say these three in their own language
DISK_FULL = "The disk space quota is exceeded"
NAME_TAKEN = "A file with this name already exists"
STORED, DOWNLOADED = (".wav", ".mp3"), (".wav", ".mp3", ".flac")
DOWNLOAD_SECONDS = 30


def attach_record(context: Context, parameters: dict[str, Any]) -> dict[str, Any]:
    """telephony.externalCall.attachRecord: download from RECORD_URL, take FILE_CONTENT, or give an upload address."""
    has_url, name = "RECORD_URL" in parameters, parameters.get("FILENAME")
    if not has_url and name is None:
        raise refusal(NO_MODE[context.switches.documented_wording])
    call = _finished(context, parameters.get("CALL_ID"))
    if has_url:
        return _download(context, call, php.text(parameters["RECORD_URL"]), php.text(name))
    content = parameters.get("FILE_CONTENT")
    if content is None:
        return {"uploadUrl": _upload_url(context, call), "fieldName": "file"}
    return _take_content(context, call, php.text(name), php.text(content))


def _finished(context: Context, call_id: Any) -> Call:
    call = context.state.finished_call(call_id)
    if call is None:
        raise refusal(NOT_FINISHED[context.switches.documented_wording])
    return call


def _take_content(context: Context, call: Call, name: str, encoded: str) -> dict[str, int]:
    if not name:
        raise refusal("File name is empty")
    if not name.endswith(STORED):  # exactly lower case
        raise refusal(WRONG_EXTENSION)
    if not encoded:
        raise refusal("File content is empty.")
    packed = re.sub(r"\s", "", encoded)
    try:
        content = base64.b64decode(packed if "=" in packed else packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise refusal("File content is not properly encoded. Base64 encoding is expected.") from error
    if not is_audio(content):
        raise refusal(NOT_AUDIO)
    return _store(context, call, name, content, "content")


def _download(context: Context, call: Call, url: str, name: str) -> dict[str, int]:
    name = name or PurePosixPath(unquote(urlsplit(url).path)).name
    if not name:
        raise refusal("File name is empty")
    if not name.lower().endswith(DOWNLOADED):
        raise refusal("Wrong file extension. Only mp3, flac and wav are allowed")
    with context.unlocked():
        content = _fetch(url)
    if not is_audio(content):
        raise refusal(NOT_AUDIO)
    return _store(context, call, name, content, "url")


def _fetch(url: str) -> bytes:
    """Download as the portal does: inside the request, the certificate not verified, only 200 counts."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise refusal("NETWORK: Wrong address")
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified)
    )
    try:
        with opener.open(url, timeout=DOWNLOAD_SECONDS) as answer:
            status, content = answer.status, bytes(answer.read())
    except urllib.error.HTTPError as error:
        status, content = error.code, b""
        error.close()
    except (OSError, HTTPException, ValueError) as error:
        raise refusal(f"NETWORK: {type(error).__name__}") from error
    if status != 200:
        raise refusal(f"Server returns HTTP error code {status}")
    return content


def is_audio(content: bytes) -> bool:
    """Whether the bytes are sniffed as audio/*: WAV, MP3 (with or without ID3) or FLAC."""
    mpeg_frame = len(content) > 1 and content[0] == 0xFF and content[1] & 0xE6 in (0xE2, 0xE4, 0xE6)
    wav = content[:4] == b"RIFF" and content[8:12] == b"WAVE"
    return mpeg_frame or wav or content[:3] == b"ID3" or content[:4] == b"fLaC"


def _store(context: Context, call: Call, name: str, content: bytes, mode: str) -> dict[str, int]:
    """Put the file into the folder of the call's month and link it; a second one replaces the link."""
    if context.switches.disk_full:
        raise refusal(DISK_FULL)
    folder = call.started.strftime("%Y-%m")
    if (folder, name) in context.state.folder_files:
        raise refusal(NAME_TAKEN)
    record = Record(
        context.state.next_number("file", first=9079),
        name,
        folder,
        len(content),
        hashlib.sha256(content).hexdigest(),
        mode,
    )
    if call.records and mode != "upload":  # an upload leaves the replaced file in the folder
        replaced = call.records[-1]
        context.state.folder_files.pop((replaced.folder, replaced.name), None)
    context.state.folder_files[folder, name] = record
    context.state.keep_sound(record.file_id, content)
    call.records.append(record)
    return {"FILE_ID": record.file_id}


def _upload_url(context: Context, call: Call) -> str:
    """An address that carries the caller's credential and a signed note of the call."""
    note = base64.b64encode(f"callId={quote(call.call_id)}".encode()).decode()
    token = quote(f"telephony|{note}|{_signature(context, note)}", safe="")
    return f"{context.host_url}{context.caller.upload_path}token={token}"


def _signature(context: Context, note: str) -> str:
    signed = f"{note}|{context.caller.upload_path}".encode()
    return hmac.new(context.credentials.signing_key, signed, hashlib.sha256).hexdigest()


def upload(context: Context, parameters: dict[str, Any]) -> Bare:
    """The POST to an upload address: one multipart part named `file`; the part's own filename names the record."""
    scope, _, rest = php.text(parameters.get("token")).partition("|")
    note, _, signature = rest.partition("|")
    if scope != "telephony" or not hmac.compare_digest(signature.encode(), _signature(context, note).encode()):
        raise system_error("link_check_failed")
    if "file" not in context.files:
        raise refusal("Error: required parameter file is not found")
    name, content = context.files["file"]
    if not name.endswith(STORED):
        raise refusal(WRONG_EXTENSION)
    call_id = unquote(base64.b64decode(note).decode().partition("=")[2])
    return Bare(_store(context, _finished(context, call_id), name, content, "upload"))
