"""What each failure means for a recording: the table, without any portal."""

from __future__ import annotations

from pathlib import Path

import pytest

from freepbx_bx24.bitrix24.refusals import refusal, without_words
from freepbx_bx24.errors import (
    MethodBusy,
    PortalBroken,
    PortalError,
    PortalTimeout,
    PortalUnreachable,
    PortalWaits,
    RecordingError,
)
from freepbx_bx24.recording import Wanted
from freepbx_bx24.service.attach_owed import read, to_text
from freepbx_bx24.service.recording_send import Attempt, Fate, fate


def said(text: str, status: int = 400) -> PortalError:
    return refusal("", text, status)


@pytest.mark.parametrize(
    ("error", "within", "by_address"),
    [
        (without_words(413), Fate.BY_ADDRESS, Fate.PARKED),
        (PortalTimeout("late"), Fate.UNSURE, Fate.UNSURE),
        (PortalBroken("half"), Fate.UNSURE, Fate.UNSURE),
        (without_words(502), Fate.UNSURE, Fate.UNSURE),
        (PortalUnreachable("down"), Fate.LATER, Fate.LATER),
        (PortalWaits("limits"), Fate.LATER, Fate.LATER),
        (MethodBusy("OPERATION_TIME_LIMIT", "", 429), Fate.LATER, Fate.LATER),
        (
            said("Call is not found in the statistic table. Looks like it is not finished yet."),
            Fate.REFUSED,
            Fate.REFUSED,
        ),
        (said("Call is not found in the statistic table. It looks like it is not finished yet."), *[Fate.REFUSED] * 2),
        (refusal("ACCESS_DENIED", "Access denied! Link check failed", 403), Fate.REFUSED, Fate.REFUSED),
        (said("Файл с таким именем уже существует"), Fate.ONCE_MORE, Fate.ONCE_MORE),
        (said("Превышена квота дискового пространства"), Fate.ONCE_MORE, Fate.ONCE_MORE),
        (said("Wrong file extension. Only wav and mp3 are allowed"), Fate.PARKED, Fate.PARKED),
        (said("File content is empty."), Fate.PARKED, Fate.PARKED),
        (said("CRM is not installed"), Fate.PARKED, Fate.PARKED),
        (RecordingError("no encoder"), Fate.REFUSED, Fate.REFUSED),
        (OSError(5, "Input/output error"), Fate.REFUSED, Fate.REFUSED),
    ],
)
def test_each_failure_has_its_own_end(error: PortalError, within: Fate, by_address: Fate) -> None:
    assert (fate(error, False), fate(error, True)) == (within, by_address)


def test_a_large_file_has_the_time_of_a_slow_line(tmp_path: Path) -> None:
    small, large = (Attempt("c", "a.wav", tmp_path, size, True) for size in (0, 200_000_000))
    assert small.seconds == 75
    assert large.seconds == 75 + 4000


@pytest.mark.parametrize("wanted", [Wanted(("/a/b.wav", "/a/Ж.wav")), Wanted(("/v/msg0000",), message=True)])
def test_what_is_owed_comes_back_from_the_journal_as_it_was(wanted: Wanted) -> None:
    assert read(to_text(wanted)) == wanted


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"files": [7], "message": false}', '{"files": [], "message": 1}']
)
def test_a_payload_that_makes_no_sense_is_none(text: str) -> None:
    assert read(text) is None
