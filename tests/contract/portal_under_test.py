"""A portal that a test knows through its REST interface alone: the sandbox or a real one, asked and cleaned alike."""

from __future__ import annotations

import secrets
from functools import cached_property
from typing import Any

import pytest
from open_questions import Answers
from real_portal import Access
from rest_door import Pace, Reply, RestDoor

LABEL = "freepbx_bx24 contract test"
NOBODY = 2147483000  # no portal has that many users
NO_EXTENSION = "999999999"  # internal numbers have four digits at most
REGISTER, FINISH = "telephony.externalCall.register", "telephony.externalCall.finish"
NOT_MISSED = "603-S"  # the caller gave up; 304 would put an incoming call on somebody's list of missed ones


class PortalUnderTest(RestDoor):
    """One portal for one test; `kind` is "sandbox" or "real". Its calls create no client and open no card unasked."""

    def __init__(
        self, kind: str, access: Access, user: int, phone: str, *, answers: Answers, pace: Pace | None = None
    ) -> None:
        super().__init__(access, pace or Pace(0))
        self.kind, self.user, self.phone = kind, user, phone
        self.is_application = access.token is not None
        self.left_behind: list[str] = []
        self._answers = answers
        self._open_calls: list[str] = []
        self._lines: list[str] = []
        self._created: list[tuple[str, Any]] = []

    def __repr__(self) -> str:
        return f"<{self.kind} portal {self.access.host}>"

    def send(self, path: str, **how: Any) -> Reply:
        """As RestDoor does it; what a register made is remembered."""
        reply = super().send(path, **how)
        self._keep_track(path, reply)
        return reply

    def telephony_refusal(self, method: str, **parameters: Any) -> str:
        """The description of a telephony error: status 400, and no code or the documented one."""
        refused = self.refusal(method, **parameters)
        assert refused.status == 400, refused
        assert refused.error in ("", "ERROR_CORE"), refused
        self.note("error code", refused.error or "empty")
        return refused.description

    def note(self, question: str, answer: object) -> None:
        """This portal's answer to an open question."""
        self._answers.note(question, self.kind, answer)

    # -- calls ---------------------------------------------------------------------------------------------------

    def call_parameters(self, **parameters: Any) -> dict[str, Any]:
        """What register needs, with `parameters` instead or besides; None leaves one out."""
        given = {
            "USER_ID": self.user,
            "PHONE_NUMBER": self.phone,
            "TYPE": 2,
            "SHOW": 0,
            "CRM_CREATE": 0,
            "EXTERNAL_CALL_ID": unique_name(),
            **parameters,
        }
        return {key: value for key, value in given.items() if value is not None}

    def register(self, **parameters: Any) -> dict[str, Any]:
        """The result of register; the call is finished when the test is over."""
        result = self.result(REGISTER, **self.call_parameters(**parameters))
        assert isinstance(result, dict)
        return result

    def finish(self, call_id: str, **parameters: Any) -> dict[str, Any]:
        """The result of finish; without a word on how the call ended nobody answered and nobody missed it."""
        end = {} if "DURATION" in parameters else {"STATUS_CODE": NOT_MISSED}
        given = {
            "CALL_ID": call_id,
            "USER_ID": self.user,
            "FAILED_REASON": LABEL,
            "ADD_TO_CHAT": 0,
            **end,
            **parameters,
        }
        result = self.result(FINISH, **{key: value for key, value in given.items() if value is not None})
        assert isinstance(result, dict)
        return result

    def finished_call(self, **parameters: Any) -> str:
        """CALL_ID of a call that was registered and finished, 10 s talk."""
        call_id = str(self.register(**parameters)["CALL_ID"])
        self.finish(call_id, DURATION=10)
        return call_id

    def statistics(self, **filters: Any) -> list[dict[str, Any]]:
        """Rows of finished calls."""
        rows = self.result("voximplant.statistic.get", FILTER=filters)
        assert isinstance(rows, list)
        return rows

    def line_number(self, length: int = 22) -> str:
        """A number that no line has; a line that gets it is deleted when the test is over."""
        self._lines.append(f"bx24-test-{secrets.token_hex(6)}".ljust(length, "0"))
        return self._lines[-1]

    @cached_property
    def internal_number(self) -> str:
        """The user's extension; fails the test where the profile has none."""
        (person,) = self.result("user.get", ID=self.user)
        if not person.get("UF_PHONE_INNER"):
            pytest.fail(
                f"user {self.user} of {self!r} has no internal number: give it one in its profile", pytrace=False
            )
        return str(person["UF_PHONE_INNER"])

    # -- leaving it as it was ------------------------------------------------------------------------------------

    def _keep_track(self, path: str, reply: Reply) -> None:
        result = reply.body.get("result") if isinstance(reply.body, dict) else None
        method = path.partition("?")[0].lower()
        if isinstance(result, dict):
            if method.startswith(REGISTER.lower()):
                self.opened(result)
            elif method.startswith(FINISH.lower()) and result.get("CALL_ID") in self._open_calls:
                self._open_calls.remove(result["CALL_ID"])

    def opened(self, result: dict[str, Any]) -> None:
        """A register answered this: what it made is undone when the test is over."""
        if isinstance(result.get("CALL_ID"), str) and result["CALL_ID"] not in self._open_calls:
            self._open_calls.append(result["CALL_ID"])
        for entity in result.get("CRM_CREATED_ENTITIES") or ():
            if (entity["ENTITY_TYPE"], entity["ENTITY_ID"]) not in self._created:
                self._created.append((entity["ENTITY_TYPE"], entity["ENTITY_ID"]))

    def clean(self) -> None:
        """Finish open calls (unanswered, not missed), delete lines and created entities.

        What could not be undone, also because the portal is gone, stays in `left_behind`.
        """
        undoing: list[tuple[str, str, dict[str, Any]]] = []
        ending = {"USER_ID": self.user, "STATUS_CODE": NOT_MISSED, "FAILED_REASON": LABEL, "ADD_TO_CHAT": 0}
        for call_id in self._open_calls:
            undoing.append((f"open call {call_id}", FINISH, {"CALL_ID": call_id, **ending}))
        for kind, number in reversed(self._created):
            undoing.append((f"{kind} {number}", f"crm.{str(kind).lower()}.delete", {"id": number}))
        for number in self._lines and self._existing_lines():
            undoing.append((f"line {number}", "telephony.externalLine.delete", {"NUMBER": number}))
        self.left_behind += [what for what, _, _ in undoing]
        for what, method, parameters in undoing:
            if self.post(method, **parameters).status == 200:
                self.left_behind.remove(what)
        self.close()

    def _existing_lines(self) -> list[str]:
        body = self.post("telephony.externalLine.get").body
        rows = body.get("result", []) if isinstance(body, dict) else []
        return [row["NUMBER"] for row in rows if row["NUMBER"] in self._lines]


def unique_name() -> str:
    """An EXTERNAL_CALL_ID that says where the call comes from."""
    return f"{LABEL} {secrets.token_hex(8)}"


def trouble_with(portal: PortalUnderTest) -> str:
    """Why nothing can be tried at this portal; "" where all is well. Asks, changes nothing."""
    lines = portal.post("telephony.externalLine.get")
    error = lines.body.get("error") if isinstance(lines.body, dict) else "no JSON"
    if error == "WRONG_AUTH_TYPE":
        portal.note("webhook", "no: WRONG_AUTH_TYPE")
        return (
            "it keeps register, finish and lines for applications (WRONG_AUTH_TYPE): "
            "set BX24_TEST_PORTAL=https://host and BX24_TEST_TOKEN"
        )
    if lines.status != 200:
        return f"telephony.externalLine.get answers {lines.status} {error}"
    people = portal.post("user.get", ID=portal.user)
    found = people.body.get("result") if isinstance(people.body, dict) else None
    if people.status != 200 or not found or found[0].get("ACTIVE") is not True:
        return f"BX24_TEST_USER {portal.user} is not an active user there"
    clients = portal.post("telephony.externalCall.searchCrmEntities", PHONE_NUMBER=portal.phone)
    if clients.status != 200 or not isinstance(clients.body, dict) or clients.body.get("result") != []:
        return "BX24_TEST_PHONE is somebody's number there, or clients can't be searched"
    return ""
