"""Many methods in one request: how a command is written, and which command each part of the answer belongs to."""

from __future__ import annotations

import math
import re
from typing import Any, Iterator, Mapping, Sequence
from urllib.parse import quote

from ..errors import PortalBroken, PortalError
from .replies import Result, entry_refusal, whole_number

# More commands than that are refused one by one with ERROR_BATCH_LENGTH_EXCEEDED.
MOST = 50

METHOD = "batch"
_NEVER = frozenset({METHOD, "upload", "download"})  # ERROR_BATCH_METHOD_NOT_ALLOWED
_CONTENT = "FILE_CONTENT"
_NAME = re.compile(r"[a-z0-9_.]+", re.ASCII | re.IGNORECASE)
# The portal puts earlier results in place of `$result[key][FIELD]`, wherever a value has it: also in a caller's text.
_REFERENCE = re.compile(r"\$(?=result)", re.IGNORECASE)
_DEEPEST = 8


def command(method: str, parameters: Mapping[str, object]) -> str:
    """Return one command of a batch: `method?query`, the query as PHP reads it (`USER_ID[0]=1`, UTF-8, booleans 0/1).

    None and empty lists are left out, as they have no form there. A text that would be taken for a reference to
    another command's result is made one that is not.

    :raises ValueError: for methods that the portal refuses inside of a batch, for the content of a file (megabytes:
        attachment.content_command writes that) and for what has no form in a query.
    """
    if not _NAME.fullmatch(method) or method.lower() in _NEVER:
        raise ValueError("this method does not go into a batch")
    pairs = [pair for name, value in parameters.items() for pair in _pairs(_key(name), value, 1)]
    return f"{method}?{'&'.join(pairs)}" if pairs else method


def method_of(written: str) -> str:
    """Return the method of a command that `command` wrote."""
    return written.partition("?")[0]


def parameters(commands: Mapping[str, str]) -> dict[str, object]:
    """Return the parameters of `batch`: all commands are run, whatever becomes of those before them."""
    return {"halt": 0, "cmd": dict(commands)}


def answers(
    commands: Mapping[str, str], result: object, secrets: Sequence[str] = ()
) -> dict[str, Result | PortalError]:
    """Return what a batch's `result` says of each command: its Result, or its error (to be raised by who asked).

    A command that no part of the answer speaks of (`halt`, a cut answer) is PortalBroken: it may have been carried out.
    The errors inside have no HTTP status of their own.

    :param commands: key -> command, as sent. :param result: the reply's `result`, not trusted.
    :param secrets: are blotted out in the portal's error texts.
    """
    parts = _map(result)
    results, refusals = _map(parts.get("result")), _map(parts.get("result_error"))
    totals, nexts, times = (_map(parts.get(name)) for name in ("result_total", "result_next", "result_time"))
    found: dict[str, Result | PortalError] = {}
    for key, written in commands.items():
        if key in refusals:
            found[key] = entry_refusal(refusals[key], secrets)
        elif key in results:
            time = times.get(key)
            found[key] = Result(
                result=results[key],
                time=time if isinstance(time, dict) else {},
                total=whole_number(totals.get(key)),
                next=whole_number(nexts.get(key)),
            )
        else:
            found[key] = PortalBroken(f"the portal's answer to a batch says nothing of its {method_of(written)}")
    return found


def _key(name: object) -> str:
    text = str(name)
    if not text or "[" in text or "]" in text:
        raise ValueError("this is no name of a parameter")
    if text.upper() == _CONTENT:
        raise ValueError("the content of a file is not written here")
    return quote(text, safe="")


def _pairs(key: str, value: object, depth: int) -> Iterator[str]:
    """Yield `key=value`, or `key[inner]=value` for each that a list or map holds."""
    if isinstance(value, (Mapping, list, tuple)):
        if depth >= _DEEPEST:
            raise ValueError("the parameters are nested too deeply")
        inside = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, inner in inside:
            yield from _pairs(f"{key}[{_key(name)}]", inner, depth + 1)
    elif value is not None:
        yield f"{key}={quote(_text(value), safe='', errors='replace')}"


def _text(value: object) -> str:
    if isinstance(value, str):
        return _REFERENCE.sub("$ ", value)
    if isinstance(value, bool):  # "false" would be true on the other side
        return str(int(value))
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise ValueError("a parameter has no form in a batch")


def _map(value: object) -> Mapping[str, Any]:
    """Return a map of PHP's: an empty one comes as `[]`, and one with the keys 0, 1, 2 ... as a list."""
    if isinstance(value, list):
        return {str(index): item for index, item in enumerate(value[:MOST])}
    return value if isinstance(value, dict) else {}
