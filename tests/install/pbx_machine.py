"""A machine with a running Asterisk and the project's source tree, on which install.sh is run as an admin runs it."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from pathlib import Path
from typing import Mapping

from freepbx_bx24.sandbox.pbx.harness import SandboxPbx
from freepbx_bx24.sandbox.pbx.namespace import Process

REPOSITORY = Path(__file__).parents[2]
SOURCE = "/root/freepbx_bx24"
PRISTINE = "/tmp/freepbx_bx24"
# One download serves all installs of a machine; install.sh keeps no cache of its own.
PIP_CACHE = "/var/cache/bx24-test-pip"
# Making the programs takes five seconds: what was made of the same versions, sources and Python is taken again,
# but for tests of the making itself. It is named by its content.
PROGRAMS = "/tmp/bx24-programs"
MADE_ONCE = f"""
eval "make_$(declare -f build_program)"
build_program() {{
    local kept={PROGRAMS}/${{1##*/}}
    if [[ ${{BX24_TEST_PROGRAMS:-}} == kept && -e $kept/finished ]]; then
        cp -a -- "$kept" "$1"
    else
        make_build_program "$@"
        mkdir -p {PROGRAMS}
        [[ -e $kept ]] || cp -a -- "$1" "$kept"
    fi
}}
"""
# Everything that an install puts down, kept as it was after the first one.
KEPT = "/tmp/bx24-installed.tar"
PLACES = (
    "/opt/freepbx-bx24", "/usr/local/bin/bx24", "/etc/freepbx_bx24.yaml", "/var/lib/freepbx-bx24", "/run/freepbx-bx24",
    "/etc/systemd/system/freepbx-bx24.service", "/etc/logrotate.d/freepbx-bx24", "/etc/tmpfiles.d",
    "/etc/asterisk/extensions_bx24.conf", "/etc/asterisk/extensions_custom.conf", "/var/log/freepbx-bx24-install.log",
    "/etc/asterisk/manager_bx24.conf", "/etc/asterisk/manager_custom.conf",
    "/usr/share/asterisk/agi-bin/bx24_register.py", "/usr/share/asterisk/agi-bin/bx24_finish.py",
)  # fmt: skip
NOT_COPIED = ("__pycache__", ".*", "tests", "docs")
# What a running Asterisk writes by itself, what the tests bring, and mounts.
NOT_COMPARED = {
    "proc", "dev", "sys", "run", "tmp", SOURCE[1:], PIP_CACHE[1:],
    "var/log/asterisk", "var/spool/asterisk", "var/cache/asterisk",
    "var/lib/asterisk/astdb.sqlite3", "var/lib/asterisk/astdb.sqlite3-journal",
    "var/lib/asterisk/astdb.sqlite3-shm", "var/lib/asterisk/astdb.sqlite3-wal",
}  # fmt: skip


class Machine:
    """One PBX machine.

    :param pbx: the sandbox that it is.
    """

    def __init__(self, pbx: SandboxPbx) -> None:
        self.pbx = pbx
        self.root = pbx.root
        self._hashes: dict[tuple[int, int], str] = {}
        # Read once: somebody may be working on the repository while its tests run.
        self.root.copy_in(REPOSITORY, PRISTINE, NOT_COPIED)
        with self.root.outside(f"{PRISTINE}/etc/install/program.sh").open("a", encoding="utf-8") as file:
            file.write(MADE_ONCE)
        self.copy_source()

    def copy_source(self) -> None:
        """Bring the source tree as it was in the repository when the tests began."""
        self.shell(f"rm -rf {SOURCE} && cp -a {PRISTINE} {SOURCE}")

    def shell(self, command: str, check: bool = True) -> str:
        """Run a bash command as root; return what it printed."""
        return self.root.run(["bash", "-c", command], check=check, timeout=120).stdout

    def install(
        self, *options: str, env: Mapping[str, str] | None = None, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run install.sh to its end; with an environment of its own it makes its programs anew."""
        environment = {"PIP_CACHE_DIR": PIP_CACHE, **({"BX24_TEST_PROGRAMS": "kept"} if env is None else env)}
        return self.root.run([f"{SOURCE}/install.sh", *options], check=False, timeout=300, env=environment, input=input)

    def start_install(self, *options: str) -> Process:
        """Start install.sh, its messages on a pipe."""
        pipe = subprocess.PIPE
        command = [f"{SOURCE}/install.sh", *options]
        return self.root.popen(command, env={"PIP_CACHE_DIR": PIP_CACHE}, stdout=pipe, stderr=subprocess.STDOUT)

    def installed(self) -> None:
        """Make sure that the product is installed, unedited, beside the sandbox's own dialplan.

        Done by install.sh once and kept: making the Python environment anew takes ten seconds each time.
        """
        if not self.exists(KEPT):
            self.removed()
            done = self.install()
            assert done.returncode == 0, done.stdout + done.stderr
            self.keep()
        elif not self.exists("/opt/freepbx-bx24/installed"):
            self.shell(f"tar -xPf {KEPT}")
            self.pbx.asterisk.reload_dialplan()
            self.pbx.asterisk.rx("manager reload")

    def keep(self) -> None:
        """Keep what the last install.sh has put down, for `installed()`."""
        self.shell(f"tar -cPf {KEPT} {' '.join(PLACES)}")

    def removed(self) -> None:
        """Make sure that nothing of the product is there, and that the admin's files are the sandbox's own."""
        done = self.install("--uninstall", "--purge", "--force")
        assert done.returncode == 0, done.stdout + done.stderr

    def text(self, path: str) -> str:
        """The content of a file inside."""
        return self.root.outside(path).read_text(encoding="utf-8")

    def write(self, path: str, text: str) -> None:
        """Replace a file's content, keeping owner and mode."""
        with self.root.outside(path).open("r+", encoding="utf-8") as file:
            file.truncate()
            file.write(text)

    def exists(self, path: str) -> bool:
        """Whether a path is there, as seen from inside (some, as /run, are mounts)."""
        return self.root.run(["test", "-e", path], check=False).returncode == 0

    def owner_and_mode(self, path: str) -> str:
        """As `root:asterisk 640`."""
        return self.root.run(["stat", "-c", "%U:%G %a", path]).stdout.strip()

    def tree(self) -> Mapping[str, str]:
        """Every path of the machine with its kind, mode, owner and content, for comparing."""
        found = {f"/run/{name}": "" for name in self.shell("ls -A /run").split()}
        for directory, names, files in os.walk(self.root.path):
            inside = os.path.relpath(directory, self.root.path)
            names[:] = [name for name in names if os.path.normpath(f"{inside}/{name}") not in NOT_COMPARED]
            for name in (*names, *files):
                relative = os.path.normpath(f"{inside}/{name}")
                if relative not in NOT_COMPARED:
                    found[f"/{relative}"] = self._fingerprint(Path(directory, name))
        return found

    def _fingerprint(self, path: Path) -> str:
        status = path.lstat()
        text = f"{status.st_mode:o} {status.st_uid}:{status.st_gid}"
        if stat.S_ISLNK(status.st_mode):
            return f"{text} {path.readlink()}"
        if stat.S_ISREG(status.st_mode):
            # The kernel sets a new ctime at every change of content: same inode and ctime, same bytes.
            known = (status.st_ino, status.st_ctime_ns)
            if known not in self._hashes:
                self._hashes[known] = hashlib.sha256(path.read_bytes()).hexdigest()
            return f"{text} {self._hashes[known]}"
        return text


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> Mapping[str, tuple[str, str]]:
    """What is not the same, path by path; empty when nothing changed."""
    paths = sorted(set(before) | set(after))
    return {path: (before.get(path, ""), after.get(path, "")) for path in paths if before.get(path) != after.get(path)}
