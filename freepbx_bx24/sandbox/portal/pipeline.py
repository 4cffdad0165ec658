"""The way of one request through the portal, in the portal's order of checks."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from freepbx_bx24.sandbox.portal.auth import check_scope, identify
from freepbx_bx24.sandbox.portal.batch import run_batch
from freepbx_bx24.sandbox.portal.errors import RestError, system_error
from freepbx_bx24.sandbox.portal.interference import Reply, ReplyInstead
from freepbx_bx24.sandbox.portal.methods import METHODS
from freepbx_bx24.sandbox.portal.state import Context
from freepbx_bx24.sandbox.portal.switches import Switches
from freepbx_bx24.sandbox.portal.transport import Operating, RestCall, error_body, success, time_object


def answer(call: RestCall, context: Context, started: float) -> Reply:
    """Answer one request, which came at `started` (unix); takes the portal's lock.

    :raises ConnectionError: drop the connection without an answer.
    """
    try:
        with context.lock:
            return success(*_run(call, context, started))
    except ReplyInstead as instead:
        return instead.reply
    except ConnectionError:
        raise  # a test's wish: no answer at all
    except RestError as error:
        return Reply(error.status, error_body(error, context.switches))
    except Exception:
        logging.getLogger(__name__).exception("the sandbox portal failed in %s", call.method)
        internal = system_error("internal")
        return Reply(internal.status, error_body(internal, context.switches))


def _run(call: RestCall, context: Context, started: float) -> tuple[Any, dict[str, Any]]:
    """Result and `time`; under the lock."""
    switches, clock = context.switches, context.state.clock
    if switches.portal_deleted:
        raise system_error("portal_deleted")
    if call.method != "batch" and call.method not in METHODS:
        raise system_error("method_not_found")
    context.caller = identify(call.presented, context.credentials, context.world, switches, clock.monotonic())
    context.files = call.files
    if call.method == "batch":
        result = run_batch(
            call.parameters,
            lambda name, parameters: _run_inner(name, parameters, context),
            lambda error: error_body(error, switches),
        )
        return result, time_object(started, clock.now(), None)
    return _run_method(call.method, call.parameters, context, started)


def _run_inner(name: str, parameters: dict[str, Any], context: Context) -> tuple[Any, dict[str, Any]]:
    """One command of a batch: charged, and limited, like a request of its own."""
    if name in ("batch", "download") or (name in METHODS and not METHODS[name].in_batch):
        raise system_error("batch_method")
    if name not in METHODS:
        raise system_error("method_not_found")
    script = context.scripted_replies.take(name)
    if isinstance(script, ConnectionError):
        raise script
    if isinstance(script, Reply):
        return _scripted(script, {})
    result, times = _run_method(name, parameters, context, context.state.clock.now())
    return _scripted(script(Reply(200, {"result": result, "time": times})), times) if script else (result, times)


def _scripted(reply: Reply, times: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A scripted answer as that of one command: its result or error where it is JSON, else that of the whole batch."""
    body = reply.body
    if isinstance(body, dict) and "error" in body and reply.status not in (429, 503):
        extra = {key: value for key, value in body.items() if key not in ("error", "error_description")}
        raise RestError(reply.status, body["error"], body.get("error_description", ""), **extra)
    if isinstance(body, dict) and "result" in body:
        return body["result"], times
    raise ReplyInstead(reply)


def _run_method(name: str, parameters: dict[str, Any], context: Context, started: float) -> tuple[Any, dict[str, Any]]:
    method, switches, state = METHODS[name], context.switches, context.state
    check_scope(context.caller, method.scopes, switches)
    key, limit = (context.caller.meter, name), switches.operating_limit_seconds
    if limit is not None and state.operating.used(key, state.clock.monotonic()) > limit:
        raise system_error("operation_time_limit")
    began = time.perf_counter()  # what the method really takes, whatever clock the portal was given
    try:
        result = method.call(context, parameters)
    finally:
        spent = time.perf_counter() - began + _charged_seconds(switches, name)
        state.operating.charge(key, spent, state.clock.monotonic())
    return result, time_object(started, state.clock.now(), _operating(key, context))


def _charged_seconds(switches: Switches, name: str) -> float:
    return next((seconds for method, seconds in switches.method_seconds.items() if method.lower() == name), 0.0)


def _operating(key: tuple[str, str], context: Context) -> Operating | None:
    if not context.switches.operating_time:
        return None
    state = context.state
    moment = state.clock.monotonic()
    reset_at = math.ceil(state.clock.now() + state.operating.seconds_to_reset(key, moment))
    return Operating(state.operating.used(key, moment), reset_at)
