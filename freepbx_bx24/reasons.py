"""The words that the CRM shows for why a call was not answered, in the admin's language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping


@dataclass(frozen=True)
class Words:
    """One language.

    :ivar causes: by DIALSTATUS; GONE: the caller hung up before anything was dialled, while register itself ran, say;
        QUIET: nothing was dialled, and the PBX ended the call.
    :ivar rang: names, and whole seconds. :ivar answered_by: somebody who is not in the CRM. :ivar clicks: why a click
        or a callback was not dialled, or got no further than the person's own telephone.
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
    clicks: Mapping[str, str]


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
        clicks={
            "NOTICE": "{} was not called: {}",
            "OFF": "calls by a click are switched off on the PBX",
            "STALE": "the click came too late to be dialled",
            "TOO_MANY": "too many calls in so short a time",
            "NO_NUMBER": "not a telephone number that may be dialled",
            "COUNTRY": "calls to this country are not allowed",
            "EXPENSIVE": "premium, shared cost and personal numbers are not allowed",
            "NO_EXTENSION": "the employee has no extension",
            "NO_MOBILE": "the employee has no mobile number in the portal that may be dialled",
            "PERSON_BUSY": "the employee's telephone was busy",
            "PERSON_SILENT": "the employee did not answer",
            "PERSON_AWAY": "the employee's telephone could not be reached",
            "NO_PBX": "the PBX could not be reached",
            "LOST": "the PBX was restarted in between",
            "CLIENT_BUSY": "the client was busy",
            "CLIENT_SILENT": "the client did not answer",
            "CLIENT_AWAY": "the client could not be reached",
            "NOBODY": "nobody of ours could take the callback",
        },
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
        clicks={
            "NOTICE": "Звонок на {} не выполнен: {}",
            "OFF": "звонки по клику на АТС отключены",
            "STALE": "клик пришёл слишком поздно, номер не набран",
            "TOO_MANY": "слишком много звонков за короткое время",
            "NO_NUMBER": "такой номер набирать нельзя",
            "COUNTRY": "звонки в эту страну запрещены",
            "EXPENSIVE": "звонки на платные и персональные номера запрещены",
            "NO_EXTENSION": "у сотрудника нет внутреннего номера",
            "NO_MOBILE": "у сотрудника в портале нет мобильного номера, который можно набрать",
            "PERSON_BUSY": "телефон сотрудника занят",
            "PERSON_SILENT": "сотрудник не ответил",
            "PERSON_AWAY": "телефон сотрудника недоступен",
            "NO_PBX": "АТС недоступна",
            "LOST": "АТС была перезапущена",
            "CLIENT_BUSY": "у клиента занято",
            "CLIENT_SILENT": "клиент не ответил",
            "CLIENT_AWAY": "клиент недоступен",
            "NOBODY": "никто из сотрудников не смог принять обратный звонок",
        },
    ),
}


def words_of(language: str) -> Words:
    """The words of a language, English where it is not known."""
    return WORDS.get(language, WORDS["en"])
