"""The way of one request through the portal, in the portal's order of checks."""

from __future__ import annotations

import logging
import time
from typing import Any, Callable

from freepbx_bx24.sandbox.portal.auth import Caller, check_scope, identify
from freepbx_bx24.sandbox.portal.batch import run_batch
from freepbx_bx24.sandbox.portal.errors import RestError, system_error
from freepbx_bx24.sandbox.portal.interference import Interference, Reply
from freepbx_bx24.sandbox.portal.methods import METHODS
from freepbx_bx24.sandbox.portal.state import Context
from freepbx_bx24.sandbox.portal.transport import RestCall, error_body, success

UNCOUNTED_SECONDS = 0.1  # shorter runs are not added to a method's operating time
UNKNOWN_CALLER = Caller(0, None, None, frozenset())


def answer(call: RestCall, make_context: Callable[[Caller], Context], interference: Interference) -> Reply:
    """Answer one request.

    :raises ConnectionError: drop the connection without an answer (a test's wish, or the portal stopped).
    """
    started = time.time()
    interference.hold(call.method)
    # The leaky bucket (503 QUERY_LIMIT_EXCEEDED) belongs here: it stands in front of all else and commits nothing.
    script = interference.scripted_replies.take(call.method)
    if isinstance(script, Reply):
        return script  # a fault before commit: the method does not run
    context = make_context(UNKNOWN_CALLER)
    try:
        with context.lock:
            reply = success(*_run(call, context, started))
    except RestError as error:
        reply = Reply(error.status, error_body(error, context.switches))
    except Exception:
        logging.getLogger(__name__).exception("the sandbox portal failed in %s", call.method)
        internal = system_error("internal")
        reply = Reply(internal.status, error_body(internal, context.switches))
    return script(reply) if script else reply  # a fault after commit


def _run(call: RestCall, context: Context, started: float) -> tuple[Any, float, float | None]:
    """Result, start and operating seconds; under the lock."""
    switches = context.switches
    if switches.portal_deleted:
        raise system_error("portal_deleted")
    if call.method != "batch" and call.method not in METHODS:
        raise system_error("method_not_found")
    context.caller = identify(call.presented, context.credentials, context.world, switches)
    context.files = call.files
    if call.method == "batch":
        result = run_batch(
            call.parameters,
            lambda name, parameters: _run_inner(name, parameters, context),
            lambda error: error_body(error, switches),
        )
        return result, started, None
    result = _run_method(call.method, call.parameters, context)
    return result, started, _operating(call.method, context)


def _run_inner(name: str, parameters: dict[str, Any], context: Context) -> Any:
    if name in ("batch", "download") or (name in METHODS and not METHODS[name].in_batch):
        raise system_error("batch_method")
    if name not in METHODS:
        raise system_error("method_not_found")
    return _run_method(name, parameters, context)


def _run_method(name: str, parameters: dict[str, Any], context: Context) -> Any:
    method = METHODS[name]
    check_scope(context.caller, method.scopes, context.switches)
    # The operation-time limiter (429 OPERATION_TIME_LIMIT) belongs here: per application or webhook and method,
    # checked before the method runs, in a batch for each command.
    began = time.monotonic()
    try:
        return method.call(context, parameters)
    finally:
        spent, key = time.monotonic() - began, (context.caller.app_id, name)
        if spent > UNCOUNTED_SECONDS:
            context.state.operating[key] = context.state.operating.get(key, 0.0) + spent


def _operating(name: str, context: Context) -> float | None:
    return context.state.operating.get((context.caller.app_id, name), 0.0) if context.switches.operating_time else None
