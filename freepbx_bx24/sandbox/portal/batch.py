"""batch: up to fifty methods in one request, each with its own result or error."""

from __future__ import annotations

import re
from typing import Any, Callable
from urllib.parse import parse_qsl

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.errors import RestError, system_error
from freepbx_bx24.sandbox.portal.state import Listing

MAX_COMMANDS = 50
_REFERENCE = re.compile(r"\$result((?:\[[^\[\]]*\])+)")


def inner_methods(parameters: dict[str, Any]) -> list[str]:
    """The methods that a batch's parameters name, in lower case; none for those of another method."""
    return [php.text(command).partition("?")[0].strip().lower() for command in _commands(parameters).values()]


def _commands(parameters: dict[str, Any]) -> dict[Any, Any]:
    commands = next((value for key, value in parameters.items() if key.upper() == "CMD"), None)
    return commands if isinstance(commands, dict) else dict(enumerate(php.as_list(commands or [])))


def run_batch(
    parameters: dict[str, Any],
    call: Callable[[str, dict[str, Any]], tuple[Any, dict[str, Any]]],
    error_body: Callable[[RestError], dict[str, Any]],
) -> dict[str, Any]:
    """Run `cmd` in order through `call` (method, parameters -> result, `time`); `halt` stops at the first error.

    Each answer is filed under its command's key in result, result_error, result_total, result_next and result_time.
    """
    folded, named = {key.upper(): value for key, value in parameters.items()}, _commands(parameters)
    answers: dict[str, dict[str, Any]] = {
        kind: {} for kind in ("result", "result_error", "result_total", "result_next", "result_time")
    }
    for index, (name, command) in enumerate(named.items()):
        key = str(name)
        try:
            if index >= MAX_COMMANDS:
                raise system_error("batch_length")
            method, _, query = php.text(command).partition("?")
            pairs = [
                (field, _fill(value, answers["result"])) for field, value in parse_qsl(query, keep_blank_values=True)
            ]
            result, times = call(method.strip().lower(), php.nest(pairs))
        except RestError as error:
            answers["result_error"][key] = error_body(error)
            if php.truth(folded.get("HALT")):
                break
            continue
        if isinstance(result, Listing):
            answers["result_total"][key] = result.total
            if result.next is not None:
                answers["result_next"][key] = result.next
            result = result.result
        answers["result"][key] = result
        answers["result_time"][key] = times
    return {kind: php.array(values) for kind, values in answers.items()}


def _fill(value: str, results: dict[str, Any]) -> str:
    """Put earlier results in place of `$result[key][FIELD]`."""

    def look_up(found: re.Match[str]) -> str:
        node: Any = results
        for part in re.findall(r"\[([^\[\]]*)\]", found.group(1)):
            if isinstance(node, list):
                node = node[int(part)] if part.isdigit() and int(part) < len(node) else None
            else:
                node = node.get(part) if isinstance(node, dict) else None
        return php.text(node)

    return _REFERENCE.sub(look_up, value)
