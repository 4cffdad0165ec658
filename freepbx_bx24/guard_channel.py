"""The guard's side of the AGI pipe: lines within a deadline, the environment, one question, SET VARIABLE."""

import posix
import select
import time

REPLY_SECONDS = 0.5  # Asterisk answers SET VARIABLE at once; after the deadline this is the most that is waited for it

# What each script asks of the channel: name in the frame, expression in the dialplan's language.
COMMON_FACTS = (
    ("linkedid", "CHANNEL(linkedid)"),
    ("status", "BX24_STATUS"),
    ("call_id", "BX24_CALL_ID"),
    # finish needs these too: where register never came to run, all is decided from what finish knows.
    ("skip", "BX24_SKIP"),
    ("lines_off", "DB(bx24/lines-off)"),
    ("line", "BX24_LINE"),
    ("client_number", "BX24_NUMBER"),
    ("user", "BX24_USER"),
    ("source", "BX24_SOURCE"),
    ("create", "BX24_CREATE"),
    ("extension", "AMPUSER"),
    ("blacklisted", "DB_EXISTS(blacklist/${CALLERID(num)})"),  # FreePBX itself looks only after our hook
    ("trunk", "OUT_${DIAL_TRUNK}"),
    ("trunk_suffix", "OUT_${DIAL_TRUNK}_SUFFIX"),
)
FACTS = {
    "register": COMMON_FACTS
    + (
        ("entity_type", "BX24_CRM_ENTITY_TYPE"),
        ("entity_id", "BX24_CRM_ENTITY_ID"),
        # All outputs in one: where none is set yet, none that stays empty has to be set.
        (
            "outputs",
            "BX24_STATUS}${BX24_REASON}${BX24_CALL_ID}${BX24_CRM_ENTITY_TYPE}${BX24_CRM_ENTITY_ID}${BX24_CRM_CREATED_LEAD}"
            "${BX24_CRM_NAME}${BX24_RESPONSIBLE}${BX24_RESPONSIBLE_SECONDS",
        ),
    ),
    "finish": COMMON_FACTS
    + (
        ("dial_status", "DIALSTATUS"),
        ("hangup_cause", "HANGUPCAUSE"),
        ("answered_seconds", "ANSWEREDTIME"),
        ("dialled_peer_number", "DIALEDPEERNUMBER"),
        ("dialled_peer_name", "DIALEDPEERNAME"),
        ("member_interface", "MEMBERINTERFACE"),
        ("note", "BX24_NOTE"),
        ("recording", "BX24_RECORDING"),
        ("queue", "QUEUENUM"),  # FreePBX's
        ("queue_name", "QUEUENAME"),  # Asterisk's, where the queue has setqueuevar
        ("menu", "IVR_CONTEXT"),  # FreePBX's
        ("voicemail", "VMSTATUS"),
        ("hangup_source", "CHANNEL(hangupsource)"),
        ("voicemail_file", "VM_MESSAGEFILE"),
        ("recorded", "MIXMONITOR_FILENAME"),
        # FreePBX's parts of a file's name: they are inherited, the whole name is not.
        ("recorded_folder", "MIXMON_DIR"),
        ("recorded_year", "YEAR"),
        ("recorded_month", "MONTH"),
        ("recorded_day", "DAY"),
        ("recorded_name", "CALLFILENAME"),
        ("recorded_format", "MON_FMT"),
        ("recorded_on_demand", "ONETOUCH_RECFILE"),
        ("recorded_cdr", "CDR(recordingfile)"),
    ),
}


class Pipe:
    """Lines of a file descriptor, each waited for no longer than until a deadline (seconds, monotonic)."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.buffer = b""
        self.ended = False
        self.poll = select.poll()
        self.poll.register(descriptor, select.POLLIN)

    def fill(self, deadline: float) -> bool:
        """Read what is there, waiting for it at most until the deadline; False where nothing came."""
        remaining = deadline - time.monotonic()
        if self.ended or remaining <= 0 or not self.poll.poll(remaining * 1000):
            return False
        try:
            data = posix.read(self.descriptor, 65536)
        except OSError:
            data = b""
        self.ended = not data
        self.buffer += data
        return bool(data)

    def line(self, deadline: float) -> "bytes | None":
        """The next whole line without its end, or None where it did not come in time or at all."""
        while b"\n" not in self.buffer:
            if not self.fill(deadline):
                return None
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line


class Asterisk:
    """Asterisk's side of the AGI pipe: environment, one question, SET VARIABLE."""

    def __init__(self) -> None:
        self.pipe = Pipe(0)

    def environment(self, deadline: float) -> dict[str, bytes]:
        """The agi_* lines. The first of a name wins: a caller id holding a newline comes after what it would forge."""
        found: dict[str, bytes] = {}
        while True:
            line = self.pipe.line(deadline)
            if not line:
                return found
            name, _, value = line.partition(b": ")
            if name.startswith(b"agi_") and b"=" not in name:  # with one it would read as another field of the frame
                found.setdefault(name.decode("ascii", "replace"), value)

    def facts(self, kind: str, deadline: float) -> dict[str, bytes]:
        """Everything that is asked of the channel, in one GET FULL VARIABLE.

        Values are fenced by a random word that no value can know, so that a value with quotes, parentheses or newlines
        is cut out whole, and lines left over from a forged environment are passed over.
        """
        fence = posix.urandom(6).hex()
        wanted = FACTS[kind]
        expression = fence + "".join("${" + name + "}" + fence for _, name in wanted)
        if not self.write(b"GET FULL VARIABLE " + expression.encode() + b"\n"):
            return {}
        mark = fence.encode()
        end = mark + b")\n"
        while not self.pipe.buffer.endswith(end):
            if not self.pipe.fill(deadline):
                return {}
        values = self.pipe.buffer.split(mark)[1:-1]
        self.pipe.buffer = b""
        return {key: value for (key, _), value in zip(wanted, values)}

    def command(self, line: bytes, deadline: float) -> "bytes | None":
        """Send one whole AGI command and return Asterisk's reply line."""
        return self.pipe.line(deadline) if self.write(line + b"\n") else None

    def write(self, data: bytes) -> bool:
        """Hand data to Asterisk; False where it has let go of the pipe."""
        try:
            while data:
                data = data[posix.write(1, data) :]
        except OSError:
            return False
        return True

    def outputs(self, status: str, reason: str) -> None:
        """Say it to the dialplan ourselves. The texts are constants of this module: nothing to make harmless."""
        deadline = time.monotonic() + REPLY_SECONDS
        self.command(b'SET VARIABLE __BX24_STATUS "' + status.encode() + b'"', deadline)
        self.command(b'SET VARIABLE __BX24_REASON "' + reason.encode() + b'"', deadline)
