"""The words that the CRM shows for why a call was not answered, in the admin's language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping


@dataclass(frozen=True)
class Words:
    """One language.

    :ivar causes: by DIALSTATUS; GONE: the caller hung up before anything was dialled, while register itself ran, say;
        QUIET: nothing was dialled, and the PBX ended the call.
    :ivar rang: names, and whole seconds. :ivar answered_by: somebody who is not in the CRM.
    """

    causes: Mapping[str, str]
    rang: str
    in_queue: str
    was_busy: str
    not_reached: str
    voicemail: str
    menu: str
    waited: str
    answered_by: str


WORDS = {
    "en": Words(
        causes={
            "BUSY": "busy",
            "CANCEL": "the caller hung up while it rang",
            "NOANSWER": "not answered",
            "CHANUNAVAIL": "no phone could be reached",
            "CONGESTION": "the line was congested",
            "GONE": "the caller hung up before a phone rang",
            "QUIET": "no phone rang",
            "UNSEEN": "the end of the call was not seen",
        },
        rang="rang {} for {} s",
        in_queue=" in queue {}",
        was_busy="{} was busy",
        not_reached="{} could not be reached",
        voicemail="left a voicemail",
        menu="hung up in the menu",
        waited="waited in queue {}, where no phone rang",
        answered_by="answered by {}, who is not in Bitrix24",
    ),
    "ru": Words(
        causes={
            "BUSY": "занято",
            "CANCEL": "звонивший положил трубку, пока шёл вызов",
            "NOANSWER": "нет ответа",
            "CHANUNAVAIL": "телефон недоступен",
            "CONGESTION": "линия перегружена",
            "GONE": "звонивший положил трубку до начала вызова",
            "QUIET": "ни один телефон не звонил",
            "UNSEEN": "конец звонка не был виден",
        },
        rang="вызов на {}, {} с",
        in_queue=", очередь {}",
        was_busy="занято: {}",
        not_reached="недоступно: {}",
        voicemail="оставлено голосовое сообщение",
        menu="звонивший положил трубку в голосовом меню",
        waited="ожидание в очереди {}, ни один телефон не звонил",
        answered_by="ответил {}, которого нет в Битрикс24",
    ),
}


def words_of(language: str) -> Words:
    """The words of a language, English where it is not known."""
    return WORDS.get(language, WORDS["en"])
