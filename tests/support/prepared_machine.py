"""A PBX as the checks see it: folders, scripts, a console that answers as FreePBX's does, a socket."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from freepbx_bx24.sandbox.portal import Portal

from .agi_script import REPOSITORY
from .ami_server import SECRET, USER
from .running_service import MANAGER_FILE, RunningService

SCRIPT = f"""#!{sys.executable} -IS
import sys

sys.path.append("{REPOSITORY}")
"""
INCLUDES = ("from-pstn-custom", "ext-did", "ext-did-post-custom", "from-did-direct", "ext-did-catchall")
CONSOLE = """\
#!/bin/sh
cat "{answers}/$(printf %s "$2" | tr ' /' '__')" 2>/dev/null || echo "No such command '$2'"
"""


def included(*contexts: str) -> str:
    """As `dialplan show` shows them."""
    return "".join(f"  Include =>        '{context}'   [pbx_config]\n" for context in contexts)


def steps(name: str, *what: str) -> str:
    """One extension as `dialplan show` shows it."""
    lines = [f"  '{name}' =>".ljust(20) + f"1. {what[0]}   [extensions.conf:1]"]
    return "\n".join(lines + [f"{number}. {step}".rjust(40) for number, step in enumerate(what[1:], 2)]) + "\n"


def answers(agi_folder: Path) -> dict[str, str]:
    """What the console of a PBX in order says: three extensions, a queue, a trunk, a route in and one out."""
    return {
        "core show version": "Asterisk 22.10.1 built by root @ pbx on a x86_64 running Linux\n",
        "core show settings": f"* Directories\n  AGI Scripts directory:       {agi_folder}\n",
        "dialplan show bx24-in": steps("s", "AGI(bx24_register.py,in,${ARG1})"),
        "dialplan show bx24-out": steps("s", "AGI(bx24_register.py,out,${number})"),
        "dialplan show bx24-hangup": steps("s", "AGI(bx24_finish.py,${ARG1})", "Return()"),
        "dialplan show from-pstn": steps("s", "Gosub(bx24-in,s,1(s))", "Goto(bx24-pstn,s,1)") + included(*INCLUDES),
        "dialplan show bx24-pstn": included(*INCLUDES),
        "dialplan show macro-dialout-trunk-predial-hook": steps("s", "Gosub(bx24-out,s,1)"),
        "dialplan show ext-did-0001": "There is no existence of 'ext-did-0001' context\n",
        "dialplan show ext-did-0002": steps("74957770101", "Set(__FROM_DID=${EXTEN})"),
        "dialplan show globals": "   OUT_1_SUFFIX=@city\n   OUT_1=PJSIP\n",
        "dialplan show outbound-allroutes": included("outrt-1", "outbound-allroutes-custom"),
        "dialplan show outrt-1": steps("_8.", "Gosub(macro-dialout-trunk,s,1(1,${EXTEN},,off))"),
        "pjsip show endpoint city": " connected_line_method : invite\n context               : from-pstn\n",
        "database show AMPUSER": "".join(
            f"/AMPUSER/{extension}/device                : {extension}\n" for extension in (101, 102, 103)
        ),
        "database get bx24 off": "Database entry not found.\n",
        "core show channels count": "0 active channels\n0 active calls\n7 calls processed\n",
        "core show uptime seconds": "System uptime: 7200\nLast reload: 60\n",
        "queue show": "400 has 0 calls (max unlimited)\n   Members: \n"
        "      Anton (Local/101@from-queue/n from hint:101@ext-local) (ringinuse disabled) (Not in use)\n",
        "manager show users": f"\nusername\n--------\nadmin\n{USER}\n-------------------\n2 configured.\n",
        f"manager show user {USER}": "         read perm: call\n        write perm: reporting\n",
    }


class PreparedMachine:
    """All of it in order; a test breaks one thing.

    :ivar answers: what the console says, by command. :ivar path: for PATH.
    """

    def __init__(self, folder: Path, portal: Portal, manager_port: int) -> None:
        self.folder = folder
        self.service = RunningService(folder, portal)
        self.spool, self.agi_folder, self.path = folder / "spool", folder / "agi-bin", folder / "path"
        for place in (self.spool / "monitor", self.spool / "voicemail", self.agi_folder, self.path, folder / "console"):
            place.mkdir(parents=True)
        for name in ("bx24_register.py", "bx24_finish.py"):
            self.executable(self.agi_folder / name, SCRIPT)
        self.executable(self.path / "asterisk", CONSOLE.format(answers=folder / "console"))
        self.executable(self.path / "lame", "#!/bin/sh\n")
        (folder / "asterisk.conf").write_text(f"[directories]\nastspooldir => {self.spool}\n")
        (folder / "log").touch()
        self.answers = answers(self.agi_folder)
        self.manager(manager_port)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(folder / "run" / "agi.sock"))
        self._listener.listen()

    def manager(self, port: int, secret: str = SECRET) -> None:
        """Files of the manager interface as install.sh leaves them."""
        (self.folder / "manager.conf").write_text(f"[general]\nenabled = yes\nport = {port}\n")
        (self.folder / MANAGER_FILE).write_text(f"[{USER}]\nsecret = {secret}\n")

    def executable(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    @property
    def yaml(self) -> Path:
        return self.service.yaml

    def change_yaml(self, before: str, after: str) -> None:
        text = self.yaml.read_text()
        assert before in text
        self.yaml.write_text(text.replace(before, after))

    @property
    def environment(self) -> dict[str, str]:
        return {**self.service.environment, "PATH": f"{self.path}:/usr/bin:/bin"}

    def console_is_written(self) -> None:
        """The console says from now on what `answers` says."""
        for command, said in self.answers.items():
            (self.folder / "console" / command.replace(" ", "_").replace("/", "_")).write_text(said)

    def hang_up(self) -> None:
        """Nobody answers on the service's socket any more."""
        with suppress(OSError):  # nobody listens any more
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> PreparedMachine:
        threading.Thread(target=self._answer, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()

    def _answer(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(100)
                connection.sendall(b"taken\ndone\n")
