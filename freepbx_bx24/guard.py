"""The guard between Asterisk and the service: what the AGI scripts run, and the only keeper of the caller's deadline.

AGI has no time-out of its own: Asterisk waits until the script exits. So the script stays small, fast and alive
whatever happens behind it. It imports the interpreter's cheapest built-in modules alone (json, socket or os cost more
than all of its work), asks Asterisk once for everything that matters, hands that to the service as one frame and relays
the service's AGI commands, one whole line at a time, until the service says `done` or the deadline is there.

The frame is `key=value` fields, each ended by NUL, the last by another NUL; variables of Asterisk can't hold a NUL.
The service answers `taken` before it does anything, then `agi COMMAND` lines (each answered with Asterisk's reply
line), then `done`, which may come with the commands. Where anything but `done` ends it, the frame is left as an intake
file: no call is lost.
"""

import time  # no annotations from __future__: that is a file to find and read, like any other module

STARTED = time.monotonic()

# The clock starts first; signal, socket and os would load enum, selectors, stat...
import _signal  # type: ignore[import-not-found]  # noqa: E402
import _socket  # noqa: E402
import posix  # noqa: E402
import sys  # noqa: E402

from .guard_channel import REPLY_SECONDS, Asterisk, Pipe  # noqa: E402

RUN_DIRECTORY = posix.environ.get(b"BX24_RUN_DIR", b"/run/freepbx-bx24").decode()
DEFAULTS = {
    "socket": RUN_DIRECTORY + "/agi.sock",
    "state": posix.environ.get(b"BX24_STATE_DIR", b"/var/lib/freepbx-bx24").decode(),
    "log": posix.environ.get(b"BX24_LOG", b"/var/log/asterisk/freepbx_bx24.log").decode(),
    "wait_in": "2.0",
    "wait_out": "1.0",
    "wait_finish": "1.0",
}
TAKEN_SECONDS = 0.25  # a healthy service answers in under a millisecond; longer means that it hangs or is flooded
LONGEST_VALUE = 1000  # bytes; a frame of some 45 of them still fits a socket buffer in one piece

DONE, ABSENT, BUSY, LOST, LATE = "done", "absent", "busy", "lost", "late"
REASONS = {
    BUSY: "the service is busy or hangs: registered later",
    LOST: "the service went away: registered later",
    LATE: "no answer in time: registered later",
}


def read_settings() -> dict[str, str]:
    """The `key=value` lines that the service writes at start and reload; the defaults where it never ran."""
    settings = dict(DEFAULTS)
    try:
        descriptor = posix.open(RUN_DIRECTORY + "/agi.conf", posix.O_RDONLY)
        try:
            text = posix.read(descriptor, 4096).decode()
        finally:
            posix.close(descriptor)
        settings.update(line.split("=", 1) for line in text.splitlines() if "=" in line)  # type: ignore[misc]
    except (OSError, ValueError):
        pass
    return settings


def seconds(settings: dict[str, str], name: str) -> float:
    """A duration of the settings, the built-in one where it can't be read."""
    try:
        return min(max(float(settings[name]), 0.05), 30.0)
    except ValueError:
        return float(DEFAULTS[name])


def connect(path: str) -> "tuple[_socket.socket | None, str]":
    """A connection to the service, or why there is none: ABSENT (no service) or BUSY (its backlog is full).

    A full backlog gives EAGAIN at once, even with a time-out set (measured): that is busy, not down.
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    connection.setblocking(False)
    try:
        connection.connect(path)
    except BlockingIOError:
        return None, BUSY
    except OSError:
        return None, ABSENT
    credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    owner = int.from_bytes(credentials[4:8], sys.byteorder)
    if owner not in (0, posix.geteuid()):
        return None, ABSENT
    return connection, ""


def converse(asterisk: Asterisk, connection: _socket.socket, frame: bytes, deadline: float, taken_by: float) -> str:
    """Hand the frame over and relay until `done`; returns DONE, BUSY, LOST or LATE."""
    try:
        if connection.send(frame) != len(frame):
            return BUSY
    except OSError:
        return LOST
    service = Pipe(connection.fileno())
    if service.line(min(taken_by, deadline)) != b"taken":
        return LOST if service.ended else BUSY
    replies = b""
    while True:
        if replies and b"\n" not in service.buffer:  # each on its own would wake the service, which is of no use
            try:
                connection.send(replies)
            except OSError:
                return LOST
            replies = b""
        line = service.line(deadline) if time.monotonic() < deadline else None  # also where lines are waiting
        if line is None:
            return LOST if service.ended else LATE
        if line == b"done":
            if replies:  # it came with the commands
                connection.send(replies)
            return DONE
        if line.startswith(b"agi "):
            replies += (asterisk.command(line[4:], time.monotonic() + REPLY_SECONDS) or b"") + b"\n"


def detach() -> None:
    """In a child: let go of Asterisk's pipes, which would hold the caller as long as they are open."""
    posix.setsid()
    null = posix.open("/dev/null", posix.O_RDWR)
    for descriptor in (0, 1, 2):
        posix.dup2(null, descriptor)


def in_process(settings: dict[str, str], kind: str, uniqueid: str, frame: bytes) -> _socket.socket:
    """No service: a forked child imports the rest and answers the frame just as the service does.

    Before the slow part it writes the frame down, which keeps a service that comes back meanwhile off this call.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    if posix.fork() == 0:
        status = 1
        try:
            ours.close()
            detach()
            try:
                theirs.send(b"taken\n")
            except OSError:
                pass  # finish does not wait for us
            from freepbx_bx24.service.note import Note

            note = Note(settings["state"] + "/intake", kind, uniqueid, frame)
            from freepbx_bx24.service.standalone import answer

            answer(frame, theirs.detach(), note)
            status = 0
        finally:
            posix._exit(status)
    theirs.close()
    ours.setblocking(False)
    return ours


def leave_behind(settings: dict[str, str], kind: str, uniqueid: str, reason: str, frame: bytes) -> None:
    """Say in the log what happened and leave the frame, unless it is empty, for the service to read later.

    From a child: a slow or dead disk must not hold the caller.
    """
    if posix.fork() != 0:
        return
    try:
        detach()
        log(settings, f"{uniqueid} {kind}: {reason}")
        if not frame:
            return
        folder = settings["state"] + "/intake/"
        name = f"{time.time_ns()}-{kind}-{uniqueid}.frame"
        descriptor = posix.open(folder + "." + name, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL, 0o640)
        if posix.write(descriptor, frame) != len(frame):
            raise OSError("the disk is full")
        posix.fsync(descriptor)
        posix.close(descriptor)
        posix.rename(folder + "." + name, folder + name)
    except OSError as error:
        log(settings, f"{uniqueid} {kind}: this call can't be written down for later: {error.strerror or error}")
    finally:
        posix._exit(0)


def log(settings: dict[str, str], text: str) -> bool:
    """Append one line to the log; False where that is not possible."""
    line = time.strftime("%Y-%m-%d %H:%M:%S%z ") + "WARNING agi " + text + "\n"
    try:
        descriptor = posix.open(settings["log"], posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND, 0o640)
        posix.write(descriptor, line.encode("utf-8", "replace"))
        posix.close(descriptor)
    except OSError:
        return False
    return True


def harmless(value: bytes) -> str:
    """An identifier for a file name or log line: letters, digits, dots and hyphens, at most 64."""
    text = value.decode("ascii", "replace")[:64]
    return "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in text) or "unknown"


def run(kind: str, asterisk: Asterisk, settings: dict[str, str]) -> None:
    """One AGI run: ask Asterisk, hand over, relay; whatever comes in between, come back by the deadline."""
    direction = "out" if sys.argv[1:2] == ["out"] else "in"
    deadline = STARTED + seconds(settings, "wait_finish" if kind == "finish" else "wait_" + direction)
    environment = asterisk.environment(deadline)
    facts = asterisk.facts(kind, deadline)
    if kind == "finish" and facts.get("status") == b"SKIPPED":
        return
    fields = {
        "kind": kind,
        "direction": direction,
        "argument": " ".join(sys.argv[2:3]),
        "deadline": repr(deadline),
        "started": repr(time.time() - (time.monotonic() - STARTED)),
        "state": settings["state"],
        "log": settings["log"],
    }
    data = {name: value.encode("utf-8", "surrogateescape") for name, value in fields.items()}
    data.update(environment)
    data.update(("fact_" + name, value) for name, value in facts.items())
    frame = b"".join(name.encode() + b"=" + value[:LONGEST_VALUE] + b"\0" for name, value in data.items()) + b"\0"
    uniqueid = harmless(environment.get("agi_uniqueid", b""))

    connection, result = connect(settings["socket"])
    if result == ABSENT:
        connection = in_process(settings, kind, uniqueid, frame)
        if kind == "finish":  # nothing to hear back, and the channel waits for us: the child does the rest
            return
        result = converse(asterisk, connection, b"", deadline, deadline)  # the child has the frame already
        kept = result == LATE  # the child goes on and writes down what becomes of it
    else:
        kept = False
        if connection is not None:
            taken_by = time.monotonic() + TAKEN_SECONDS
            result = converse(asterisk, connection, frame, deadline, taken_by)
    if result == DONE:
        return
    if connection is not None:
        connection.close()
    if kind == "register":
        asterisk.outputs("PENDING", REASONS[result])
    leave_behind(settings, kind, uniqueid, REASONS[result], b"" if kept else frame)


def verify(asterisk: Asterisk, settings: dict[str, str]) -> None:
    """For install.sh's test channel: say that we run, as whom, and that we may write calls down. No call is told."""
    asterisk.environment(STARTED + REPLY_SECONDS)
    writable = posix.access(settings["state"] + "/intake", posix.W_OK | posix.X_OK)
    asterisk.outputs("VERIFIED", f"user {posix.geteuid()}" + ("" if writable else " may not write its state folder"))


def main(kind: str) -> None:
    """Run as `register` or `finish`; never raises, always exits 0: the call goes on whatever happened here."""
    settings = dict(DEFAULTS)
    asterisk = Asterisk()
    try:
        # The caller may hang up at any instant; the call must reach the CRM all the same.
        _signal.signal(_signal.SIGHUP, _signal.SIG_IGN)
        _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
        settings = read_settings()
        if sys.argv[1:2] == ["verify"]:
            verify(asterisk, settings)
        else:
            run(kind, asterisk, settings)
    except Exception as error:
        log(settings, f"{kind}: {type(error).__name__}: {error}")
        if kind == "register":
            asterisk.outputs("FAILED", "the AGI script failed: see the log")
    finally:
        posix._exit(0)  # without the interpreter's own clean-up, which would cost the caller two milliseconds
