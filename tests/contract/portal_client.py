"""A client that speaks to the portal over real HTTP, and says what it heard."""

from __future__ import annotations

from typing import Any, NamedTuple

import requests

from freepbx_bx24.sandbox.portal import Portal

PHONE = "+79160000555"  # nobody's number


class Refusal(NamedTuple):
    """How an error reads on the wire."""

    status: int
    error: str
    description: str


class Client:
    """Calls REST methods as a webhook, or as an application where `auth="oauth"`."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.session = requests.Session()
        self.session.trust_env = False

    def post(self, method: str, auth: str = "webhook", **parameters: Any) -> requests.Response:
        if auth == "oauth":
            return self.session.post(
                f"{self.portal.url}/rest/{method}",
                timeout=10,
                json=parameters,
                headers={"Authorization": f"Bearer {self.portal.access_token}"},
            )
        return self.session.post(self.portal.webhook_url + method, json=parameters, timeout=10)

    def result(self, method: str, auth: str = "webhook", **parameters: Any) -> Any:
        answer = self.post(method, auth, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def refusal(self, method: str, auth: str = "webhook", **parameters: Any) -> Refusal:
        answer = self.post(method, auth, **parameters)
        body = answer.json()
        assert set(body) == {"error", "error_description"}, body
        return Refusal(answer.status_code, body["error"], body["error_description"])

    def register(self, auth: str = "webhook", **parameters: Any) -> dict[str, Any]:
        given = {"USER_ID": 1101, "PHONE_NUMBER": PHONE, "TYPE": 2, **parameters}
        result = self.result(
            "telephony.externalCall.register", auth, **{key: value for key, value in given.items() if value is not None}
        )
        assert isinstance(result, dict)
        return result

    def finish(self, call_id: str, auth: str = "webhook", **parameters: Any) -> dict[str, Any]:
        result = self.result(
            "telephony.externalCall.finish", auth, **{"CALL_ID": call_id, "USER_ID": 1101, **parameters}
        )
        assert isinstance(result, dict)
        return result

    def finished_call(self, auth: str = "webhook", **parameters: Any) -> str:
        """CALL_ID of a call that was registered and finished, 10 s talk."""
        call_id = self.register(auth, **parameters)["CALL_ID"]
        self.finish(call_id, auth, DURATION=10)
        return str(call_id)

    def ledger_call(self, call_id: str) -> dict[str, Any]:
        return next(call for call in self.portal.ledger()["calls"] if call["CALL_ID"] == call_id)

    def cards(self) -> list[tuple[str, int, str]]:
        return [(card["action"], card["USER_ID"], card["cause"]) for card in self.portal.ledger()["cards"]]
