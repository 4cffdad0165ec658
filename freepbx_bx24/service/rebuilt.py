"""A registration of which only the hangup handler's frame is left."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from ..bitrix24.directory import Directory
from ..call import INBOUND, Registration
from ..pbx import frame as frames
from ..policy import Rules, Skip
from .people import decided


def rebuilt_registration(rules: Rules, directory: Directory, frame: frames.Frame) -> Registration | Skip:
    """What register would have decided, from the finish frame alone: its own record was lost.

    The uniqueid begins with the second in which the channel was made (Asterisk), the DNID is the number dialled.
    """
    beginning = frames.beginning(frame)
    inbound = beginning.direction == INBOUND
    dialled = frame.environment("dnid")
    created = re.search(r"([0-9]{9,11})\.[0-9]+$", beginning.uniqueid)
    started = datetime.fromtimestamp(int(created[1])).astimezone() if created else beginning.started
    decision = decided(
        rules,
        directory,
        replace(
            beginning,
            started=min(started, beginning.started),
            did=dialled if inbound else beginning.did,
            number=beginning.number if inbound else dialled,
            entity_type="",
            entity_id="",
        ),
    )
    return replace(decision, show=False) if isinstance(decision, Registration) else decision
