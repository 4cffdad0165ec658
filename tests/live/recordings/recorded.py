"""A world whose outside calls are recorded, calls with sound in it, and what the CRM has of them."""

from __future__ import annotations

import hashlib
from array import array
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

from freepbx_bx24.sandbox.pbx.configs import MONITOR
from freepbx_bx24.sandbox.pbx.record import answer
from freepbx_bx24.sandbox.product import YAML
from tests.live.world import World, wait_quiet
from tests.support.running_service import wait_until
from tests.support.sounds import wav

SPOKEN = answer(0.5, sound=True)


@contextmanager
def recording(world: World, wishes: str, scale: str = "1") -> Iterator[World]:
    """The world with every outside call recorded, and a service that sends what is recorded.

    :param wishes: the YAML's `recordings`. :param scale: of the service's times.
    """
    wait_quiet(world)
    text = world.pbx.root.outside(YAML).read_text(encoding="utf-8") + f"\nrecordings: {wishes}\n"
    text += "" if "\nline_defaults:" in text else "line_defaults: {recordings: answered}\n"
    world.pbx.asterisk.rx("dialplan set global RECORD_CALLS yes")
    mark = world.log_mark()
    try:
        with world.yaml(text), world.served(scale):
            world.wait_watched(mark)
            yield world
    finally:
        world.pbx.asterisk.rx("dialplan set global RECORD_CALLS no")
        wait_quiet(world)


def files_of(world: World, before: set[Path]) -> list[Path]:
    """What is in the monitor folder since."""
    return sorted(set(world.pbx.root.outside(MONITOR).rglob("*.wav")) - before)


def call(world: World, did: str, talk: float) -> tuple[str, list[Path], dict[str, Any]]:
    """A client's call with sound on both sides, from its beginning until the CRM has its recording: its number, the
    files on the PBX, the one recording in the CRM."""
    before = set(world.pbx.root.outside(MONITOR).rglob("*.wav"))
    number = world.new_number()
    world.pbx.trunk.call(did, number, talk=talk, sound=True).wait(40)
    return number, *stored(world, number, before)


def stored(world: World, number: str, before: set[Path], seconds: float = 30.0) -> tuple[list[Path], dict[str, Any]]:
    """The files on the PBX and the one recording in the CRM, once it is there."""
    world.finished(number)
    wait_until(lambda: bool(world.crm_calls(number)[0]["records"]), seconds, world.explain)
    (record,) = world.finished(number)["records"]
    return files_of(world, before), record


def same_samples(record: dict[str, Any], samples: array[int]) -> None:
    """What the CRM has is a WAV file of just these samples."""
    content = wav(samples.tobytes())
    assert (record["size"], record["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert record["FILENAME"].endswith(".wav")


@contextmanager
def dialplan(world: World, text: str) -> Iterator[None]:
    """More dialplan of the admin's for a while."""
    path = world.pbx.root.outside("/etc/asterisk/extensions_custom.conf")
    kept = path.read_text()
    try:
        for content in (f"{kept}\n{text}", kept):
            path.write_text(content)
            world.pbx.asterisk.reload_dialplan()
            world.pbx.asterisk.rx("dialplan set global RECORD_CALLS yes")  # a reload takes it back
            if content != kept:
                yield
    finally:
        path.write_text(kept)
