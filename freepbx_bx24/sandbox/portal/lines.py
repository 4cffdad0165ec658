"""telephony.externalLine.*: the lines of an application, and those that register makes by itself."""

from __future__ import annotations

from typing import Any

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.auth import check_auth_type
from freepbx_bx24.sandbox.portal.errors import refusal, system_error
from freepbx_bx24.sandbox.portal.state import Context, Line

MAX_NUMBER = 50  # characters


def _own_lines(context: Context) -> list[Line]:
    return [line for line in context.state.lines if line.app_id == context.caller.app_id]


def _find(context: Context, number: str) -> Line | None:
    return next((line for line in _own_lines(context) if line.number == number), None)


def _create(context: Context, number: str, name: str | None, crm_auto_create: str) -> Line:
    line = Line(context.state.next_number("line", first=7), number, name, crm_auto_create, context.caller.app_id)
    context.state.lines.append(line)
    return line


def line_for_call(context: Context, number: str) -> Line | None:
    """The caller's line with this number, made (nameless, CRM_AUTO_CREATE Y) when unknown; None for no number."""
    if not number:
        return None
    if len(number) > MAX_NUMBER:
        raise system_error("sql_error")
    return _find(context, number) or _create(context, number, None, "Y")


def _number(parameters: dict[str, Any]) -> str:
    number = php.text(parameters.get("NUMBER")).strip()
    if not number:
        raise refusal("NUMBER should not be empty")
    return number


def _known(context: Context, number: str) -> Line:
    line = _find(context, number)
    if line is None:
        raise refusal(f"Could not find line with number {number}")
    return line


def _flag(value: Any) -> str:
    return "Y" if value == "Y" else "N"


def add(context: Context, parameters: dict[str, Any]) -> dict[str, int]:
    """telephony.externalLine.add: the ID is an integer."""
    check_auth_type(context.caller, context.switches)
    number = _number(parameters)
    if _find(context, number):
        raise refusal("Line already exists")
    if len(number) > MAX_NUMBER:
        raise refusal("DB error")
    name = parameters.get("NAME")
    line = _create(
        context, number, None if name is None else php.text(name), _flag(parameters.get("CRM_AUTO_CREATE", "Y"))
    )
    return {"ID": line.line_id}


def update(context: Context, parameters: dict[str, Any]) -> dict[str, str]:
    """telephony.externalLine.update: the ID is a string."""
    check_auth_type(context.caller, context.switches)
    if parameters.get("NAME") is None and parameters.get("CRM_AUTO_CREATE") is None:
        raise refusal("There are no fields to update")
    line = _known(context, _number(parameters))
    if parameters.get("NAME") is not None:
        line.name = php.text(parameters["NAME"])
    if parameters.get("CRM_AUTO_CREATE") is not None:
        line.crm_auto_create = _flag(parameters["CRM_AUTO_CREATE"])
    return {"ID": str(line.line_id)}


def delete(context: Context, parameters: dict[str, Any]) -> list[Any]:
    """telephony.externalLine.delete."""
    check_auth_type(context.caller, context.switches)
    context.state.lines.remove(_known(context, _number(parameters)))
    return []


def get(context: Context, parameters: dict[str, Any]) -> list[dict[str, str | None]]:
    """telephony.externalLine.get: no ids, no pages."""
    check_auth_type(context.caller, context.switches)
    return [
        {"NUMBER": line.number, "NAME": line.name, "CRM_AUTO_CREATE": line.crm_auto_create}
        for line in _own_lines(context)
    ]
