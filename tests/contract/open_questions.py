"""What portals are free to answer differently: the questions, the answers of each portal, and the table at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Where documentation, source and field disagree or are silent. The tests accept either answer, since the connector
# works with each; which one a portal gives is written down.
QUESTIONS = {
    "webhook": "May this kind of key register calls and read lines?",
    "error code": "Which code has a telephony error?",
    "auth status": "Which HTTP status has a wrong key?",
    "unknown token": "How is an unknown token refused?",
    "second finish": "How is a second finish refused?",
    "unfinished": "How is a record for an open call refused?",
    "no mode": "How is a record without address and name refused?",
    "not audio": "How is a file refused that holds no sound?",
    "same name": "May a FILENAME be used twice?",
    "big content": "Is a 5 MB recording taken as FILE_CONTENT?",
    "batched content": "Are recordings taken as FILE_CONTENT within a batch?",
    "big upload": "Is a 12 MB recording taken at an upload address?",
    "upload twice": "May an upload address be used twice?",
    "hide nobody": "What does hide answer without USER_ID?",
    "repeat entity": "Which CRM_ENTITY_TYPE has a repeated register without client?",
    "CALL_ID": "What does a CALL_ID look like?",
    "extension": "How many digits has the longest internal number?",
    "operating": "Does it tell how long its methods have worked?",
    "clock": "How many seconds is its clock off ours?",
}
BY_HAND = (
    "clicks as offline events and how late they come",
    "the default of ADD_TO_CHAT in finish",
    "the re-use of a refresh token",
    "the push channel",
    "the OAuth host",
)
LONGEST_ANSWER = 78


class Answers:
    """Answers by question and by portal ("sandbox", "real")."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], list[str]] = {}

    def note(self, question: str, portal: str, answer: object) -> None:
        """Write an answer down, in one harmless line. :raises KeyError: nobody asked that."""
        QUESTIONS[question]
        # A portal's texts may hold anything; they go to a terminal.
        text = re.sub(r"[^\w .,:;!?()<>'\"+*/=%#-]", "?", " ".join(str(answer).split()))
        text = text if len(text) <= LONGEST_ANSWER else text[: LONGEST_ANSWER - 3] + "..."
        known = self._given.setdefault((question, portal), [])
        if text not in known:
            known.append(text)

    def answer(self, question: str, portal: str) -> str:
        """All different answers of a portal; "not asked" where the test did not run or did not get there."""
        return " | ".join(self._given.get((question, portal), [])) or "not asked"

    def table(self, host: str) -> Iterator[str]:
        """Question by question, what the sandbox and what the portal at `host` answered; `<>` where they differ."""
        for name, question in QUESTIONS.items():
            sandbox, real = self.answer(name, "sandbox"), self.answer(name, "real")
            differs = real != sandbox and "not asked" not in (sandbox, real)
            yield question
            yield f"    {'sandbox':<12}{sandbox}"
            yield f"{' <> ' if differs else '    '}{'this portal':<12}{real}"
        yield f"To be found out by hand at {host}: {'; '.join(BY_HAND)}."
