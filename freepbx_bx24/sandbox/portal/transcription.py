"""telephony.call.attachTranscription: what was said in a finished call, as the call's activity shows it."""

from __future__ import annotations

from typing import Any

from freepbx_bx24.sandbox.portal import php
from freepbx_bx24.sandbox.portal.errors import refusal
from freepbx_bx24.sandbox.portal.state import Context, Transcript

SIDES = ("User", "Client")  # exactly


def attach_transcription(context: Context, parameters: dict[str, Any]) -> dict[str, int]:
    """telephony.call.attachTranscription; a repeated one takes the place of the first."""
    call_id, given = parameters.get("CALL_ID"), parameters.get("MESSAGES")
    if not php.text(call_id):
        raise refusal("CALL_ID should be set")
    if not isinstance(given, (list, dict)):
        raise refusal("MESSAGES should be an array")
    messages = [_message(index, message) for index, message in enumerate(php.as_list(given))]
    call = context.state.finished_call(call_id)
    if call is None:
        raise refusal(f"Call {php.text(call_id)} is not found. Is it finished?")
    call.transcript = Transcript(
        context.state.next_number("transcript"),
        messages,
        php.number(parameters.get("COST")),
        php.text(parameters.get("COST_CURRENCY")),
    )
    return {"TRANSCRIPT_ID": call.transcript.transcript_id}


def _message(index: int, given: Any) -> dict[str, Any]:
    fields = given if isinstance(given, dict) else {}
    side, text = php.text(fields.get("SIDE")), php.text(fields.get("MESSAGE"))
    start, stop = php.integer(fields.get("START_TIME")), php.integer(fields.get("STOP_TIME"))
    for wrong, complaint in (
        (side not in SIDES, "[SIDE] should be either Client or User"),
        (start < 0, "[START_TIME] should be greater or equal to zero"),
        (stop <= 0, "[STOP_TIME] should be greater than zero"),
        (not text, "[MESSAGE] is empty"),
    ):
        if wrong:
            raise refusal(f"MESSAGES[{index}]{complaint}")
    return {"SIDE": side, "START_TIME": start, "STOP_TIME": stop, "MESSAGE": text}
