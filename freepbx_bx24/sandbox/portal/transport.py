"""HTTP on the outside, a method call on the inside: addresses, bodies and the shape of answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Request, Response

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.auth import Presented
from freepbx_bx24.sandbox.portal.errors import RestError, system_error
from freepbx_bx24.sandbox.portal.interference import Reply
from freepbx_bx24.sandbox.portal.state import Bare, Listing
from freepbx_bx24.sandbox.portal.switches import Switches

_WEBHOOK = re.compile(r"/rest/(\d{1,9})/([^/]+)/([A-Za-z0-9_.]+?)(\.json)?/?", re.IGNORECASE)
_APPLICATION = re.compile(r"/rest/([A-Za-z0-9_.]+?)(\.json)?/?", re.IGNORECASE)


class PortalRequest(Request):
    """Form bodies may hold recordings in base64: their size is bounded far above the library's default."""

    max_content_length = 256 * 1024 * 1024
    max_form_memory_size = 256 * 1024 * 1024


@dataclass
class RestCall:
    """One request as the portal reads it. `method` is in lower case; credentials are no longer in `parameters`."""

    method: str
    parameters: dict[str, Any]
    presented: Presented
    host_url: str
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)


def read_call(request: Request) -> RestCall:
    """The call that a request means.

    :raises RestError: ERROR_METHOD_NOT_FOUND for an address of no known form.
    """
    body = request.get_data(cache=True)  # read to the end, so that the connection can be used again
    webhook, application = _WEBHOOK.fullmatch(request.path), _APPLICATION.fullmatch(request.path)
    if not webhook and not application:
        raise system_error("method_not_found")
    files: dict[str, tuple[str, bytes]] = {}
    parameters = php.nest(_pairs(request.query_string))
    parameters.update(_body_parameters(request, body, files))
    in_parameters = [php.text(parameters.pop(key, None)) for key in ("auth", "access_token")]
    if webhook:
        presented = Presented(webhook_user=int(webhook.group(1)), webhook_secret=webhook.group(2))
        name = webhook.group(3)
    else:
        assert application is not None
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        token = next(filter(None, in_parameters), "") or (bearer.strip() if scheme.lower() == "bearer" else "")
        presented, name = Presented(token=token), application.group(1)
    return RestCall(name.lower(), parameters, presented, request.host_url, files)


def _pairs(encoded: bytes) -> list[tuple[str, str]]:
    return parse_qsl(encoded.decode("utf-8", "replace"), keep_blank_values=True)


def _body_parameters(request: Request, body: bytes, files: dict[str, tuple[str, bytes]]) -> dict[str, Any]:
    """The body's parameters by its content type; JSON that can't be read is no parameters and no error."""
    kind = request.mimetype.lower()
    if kind == "application/json":
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) else {}
    if kind == "application/x-www-form-urlencoded":
        return php.nest(_pairs(body))
    if kind == "multipart/form-data":
        part: FileStorage
        for name, part in request.files.items():
            files[name] = (part.filename or "", part.read())
        return php.nest(request.form.items(multi=True))
    return {}


@dataclass(frozen=True)
class Operating:
    """Seconds that a method has used up in the window, and when (unix) the oldest of them leave it."""

    seconds: float
    reset_at: int


def time_object(started: float, finished: float, operating: Operating | None) -> dict[str, Any]:
    """The `time` of an answer, or of one command of a batch; without `operating` as on self-hosted portals."""
    times: dict[str, Any] = {
        "start": started,
        "finish": finished,
        "duration": finished - started,
        "processing": finished - started,
        "date_start": _date(started),
        "date_finish": _date(finished),
    }
    if operating:
        times.update(operating_reset_at=operating.reset_at, operating=operating.seconds)
    return times


def success(result: Any, times: dict[str, Any]) -> Reply:
    """A method's result with the `time` object (all but uploads) and, for lists, `total` and `next`."""
    if isinstance(result, Bare):
        return Reply(200, {"result": result.result})
    body: dict[str, Any] = {"result": result}
    if isinstance(result, Listing):
        body = {"result": result.result, "total": result.total}
        if result.next is not None:
            body["next"] = result.next
    return Reply(200, {**body, "time": times})


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, php.PORTAL_ZONE).isoformat(timespec="seconds")


def error_body(error: RestError, switches: Switches) -> dict[str, Any]:
    """The two keys of an error (and its extras). `error` may be the empty string."""
    code = error.code or ("" if switches.empty_error_code else "ERROR_CORE")
    return {"error": code, "error_description": error.description, **error.extra}


def render(reply: Reply) -> Response:
    """The HTTP answer of a reply."""
    if isinstance(reply.body, bytes):
        response = Response(reply.body, status=reply.status)
    else:
        response = Response(json.dumps(reply.body), status=reply.status, content_type="application/json; charset=utf-8")
    for name, value in reply.headers.items():
        response.headers[name] = value
    return response
