"""What all lanes of work have in common: step after step until the service stops, whatever one of them raises."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Callable

from ..errors import JournalError

if TYPE_CHECKING:
    from .runtime import Runtime


def work(
    runtime: Runtime,
    step: Callable[[], float],
    wake: threading.Event,
    *,
    beat: str,
    again: float,
    failed: tuple[logging.Logger, str],
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
) -> None:
    """Take one step after the other in the lane's own thread.

    :param step: returns the seconds until the next one. :param wake: set where that one must not wait so long.
    :param beat: the lane's name for the watchdog. :param again: seconds after a step that failed.
    :param failed: where a bug is said, and how: it must not end the lane.
    """
    while not runtime.stopping.is_set():
        runtime.beats.beat(beat)
        try:
            pause = step()
        except JournalError:  # its thread has said so in the log
            pause = again
        except Exception:
            if runtime.stopping.is_set():  # the journal has closed under us: the next start goes on
                return
            log, said = failed
            log.exception(said)
            pause = again
        if pause > 0 and wait(wake, pause):
            wake.clear()
