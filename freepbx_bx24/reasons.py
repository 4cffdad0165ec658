"""The words that the CRM shows for why a call was not answered, in the admin's language."""

from __future__ import annotations

# By DIALSTATUS; GONE: the caller hung up before anything was dialled (a menu, a queue, or register itself was running).
REASONS = {
    "en": {
        "BUSY": "busy",
        "CANCEL": "the caller hung up while it rang",
        "NOANSWER": "not answered",
        "CHANUNAVAIL": "no phone could be reached",
        "CONGESTION": "the line was congested",
        "GONE": "the caller hung up before a phone rang",
        "UNSEEN": "the end of the call was not seen",
    },
    "ru": {
        "BUSY": "занято",
        "CANCEL": "звонивший положил трубку, пока шёл вызов",
        "NOANSWER": "нет ответа",
        "CHANUNAVAIL": "телефон недоступен",
        "CONGESTION": "линия перегружена",
        "GONE": "звонивший положил трубку до начала вызова",
        "UNSEEN": "конец звонка не был виден",
    },
}


def reason_text(cause: str, language: str) -> str:
    """The words for a cause; empty for the empty cause, the cause itself where no words are known."""
    return REASONS.get(language, REASONS["en"]).get(cause, cause)
