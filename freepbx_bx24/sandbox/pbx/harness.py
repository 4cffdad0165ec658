"""A whole PBX to try things on: working root, Asterisk, trunks and phones behind one object."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import tempfile
import time
from pathlib import Path
from typing import IO, Iterator, Sequence, TypeVar

from freepbx_bx24.errors import SandboxError
from freepbx_bx24.sandbox.pbx import configs, people, roots
from freepbx_bx24.sandbox.pbx.asterisk import Asterisk
from freepbx_bx24.sandbox.pbx.namespace import Root
from freepbx_bx24.sandbox.pbx.phones import Phone, Phones, Trunk
from freepbx_bx24.sandbox.pbx.record import CallRecord

Part = TypeVar("Part")
# Short, because a Unix socket's whole path has 108 bytes (unix(7)) and some lie deep inside the root.
WORK = Path("/var/lib/bx24-sandbox")
# Each trunk has an address of its own: Asterisk tells trunks apart by address alone (res_pjsip, type=identify).
TRUNKS = {"city": "127.0.0.2", "reserve": "127.0.0.3"}
# Whom no identify section names: Asterisk takes him for its endpoint `anonymous`.
GUEST = "127.0.0.4"
# Below the ports that the kernel gives out by itself.
RTP_FIRST, RTP_LAST, RTP_BLOCK = 16000, 32000, 1000


class SandboxPbx:
    """A running PBX with people around it.

    :param suite: "forky" (Asterisk 22) or "bullseye" (Asterisk 16).
    :param work_dir: where the working root goes; None: a fresh directory below /var/lib/bx24-sandbox.
    :param keep: leave the working root behind when it stops, to look into.
    :param record: the PBX records outside calls, as FreePBX does with "force".
    :param cache: where the pristine roots are kept.

    Also a context manager: `with SandboxPbx() as pbx: ...` starts and stops it.
    """

    def __init__(
        self,
        suite: str = "forky",
        work_dir: Path | None = None,
        keep: bool = False,
        record: bool = False,
        cache: Path = roots.CACHE,
    ) -> None:
        self.suite, self.keep, self._record, self._cache = suite, keep, record, cache
        self._given_work_dir = work_dir
        self.sip_port = self.ami_port = 0
        self._lock: IO[str] | None = None
        self._root: Root | None = None
        self._asterisk: Asterisk | None = None
        self._phones: Phones | None = None
        self._trunks: dict[str, Trunk] = {}
        self._guest: Trunk | None = None

    @property
    def root(self) -> Root:
        """The working root; commands are run in it with `root.run([...])`."""
        return _there(self._root)

    @property
    def asterisk(self) -> Asterisk:
        """The Asterisk in it."""
        return _there(self._asterisk)

    @property
    def phones(self) -> Phones:
        """All phones."""
        return _there(self._phones)

    @property
    def trunk(self) -> Trunk:
        """The provider of the first trunk, `city`: PJSIP/city-..., outbound route's first choice."""
        return self._trunks["city"]

    @property
    def reserve_trunk(self) -> Trunk:
        """The provider of the second trunk, `reserve`: taken when the first refuses."""
        return self._trunks["reserve"]

    @property
    def guest(self) -> Trunk:
        """Somebody whom the PBX does not know and who calls it all the same: PJSIP/anonymous-..."""
        return _there(self._guest)

    def phone(self, device: int | str) -> Phone:
        """The phone of an extension, 101 to 180.

        Or a second one, which rings from its first `behaviour` or its `switch_on()` on: 991k8 is a device of its own of
        extension 1k8 (k = 0 to 7), 1kn-2 another contact of device 1kn.
        """
        return self.phones[device]

    @property
    def records(self) -> Sequence[CallRecord]:
        """What every endpoint has seen so far."""
        return [*(record for outside in self._outside for record in outside.records), *self.phones.records]

    def start(self) -> None:
        """Make the root, start Asterisk, trunks and phones. Raise SandboxError; nothing stays behind then."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything and delete the working root (unless `keep`). May be called twice."""
        for agent in [one.agent for one in self._outside] + ([self._phones.agent] if self._phones else []):
            agent.stop()
        self._trunks, self._guest, self._phones = {}, None, None
        if self._asterisk is not None:
            self._asterisk.stop()
        if self._root is not None:
            self._root.leave()
            if not self.keep:
                _remove(self._root.path.parent)
        self._asterisk = self._root = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def settle(self, timeout: float = 30.0) -> Sequence[CallRecord]:
        """Wait until every call of every endpoint is over and Asterisk has no channel left; return all records.

        :raises SandboxError: that is not so after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        for endpoint in (*self._outside, *self.phones.all):
            for call in list(endpoint.calls):
                call.wait(max(0.0, deadline - time.monotonic()))
        while self.asterisk.running and self.asterisk.channels():
            if time.monotonic() > deadline:
                raise SandboxError(f"channels are left after {timeout:g} s: {self.asterisk.rx('core show channels')}")
            time.sleep(0.1)
        return self.records

    def __enter__(self) -> SandboxPbx:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        remove_leftovers()
        work = self._given_work_dir
        if work is None:
            work, self._lock = _fresh_work_dir()
        else:
            self._lock = _hold(work)
        # From here on stop() deletes the directory, so the root is named before it is there.
        self._root = Root(work / "root")
        roots.working_copy(self.suite, self._root.path, self._cache)
        self._root.enter()
        self.sip_port, self.ami_port = _free_port(socket.SOCK_DGRAM), _free_port(socket.SOCK_STREAM)
        self._phones = Phones(people.EXTENSIONS, people.TWINS, self._pbx_address)
        self._trunks = {name: Trunk(name, host, self._pbx_address) for name, host in TRUNKS.items()}
        self._guest = Trunk("guest", GUEST, self._pbx_address)
        for agent in [self._phones.agent, *(one.agent for one in self._outside)]:
            agent.start()
        first = random.randrange(RTP_FIRST, RTP_LAST, RTP_BLOCK)
        settings = configs.Settings(
            major=roots.SUITES[self.suite].asterisk,
            sip_port=self.sip_port,
            ami_port=self.ami_port,
            rtp_ports=(first, first + RTP_BLOCK - 1),
            trunks=[trunk.account for trunk in self._trunks.values()],
            phones=self._phones.accounts,
            record=self._record,
        )
        self._asterisk = Asterisk(self._root, settings)
        self._asterisk.start()

    @property
    def _outside(self) -> Sequence[Trunk]:
        return [*self._trunks.values(), *([self._guest] if self._guest else [])]

    def _pbx_address(self) -> tuple[str, int]:
        return "127.0.0.1", self.sip_port


def remove_leftovers(work: Path = WORK) -> Sequence[Path]:
    """Delete working roots whose sandbox has died (kill -9, power cut), and kept ones; return what was deleted."""
    removed = []
    with _only_one(work):
        for directory in sorted(work.glob("*/")):
            # Locked: it runs. Mounted: its processes are just ending, or are looked at; left for the next time.
            with contextlib.suppress(SandboxError), _hold(directory):
                _remove(directory)
                removed.append(directory)
    return removed


def _fresh_work_dir() -> tuple[Path, IO[str]]:
    """A new directory and its lock, taken before anybody's `remove_leftovers()` can see the directory unlocked."""
    with _only_one(WORK):
        work = Path(tempfile.mkdtemp(dir=WORK))
        work.chmod(0o755)  # the asterisk user must be able to pass through
        return work, _hold(work)


@contextlib.contextmanager
def _only_one(work: Path) -> Iterator[None]:
    """Hold the lock of all working directories, which is one on the directory above them; waits for it."""
    work.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _hold(work: Path) -> IO[str]:
    """Take the directory's lock, which the kernel gives back when this process ends, however it ends."""
    work.mkdir(parents=True, exist_ok=True)
    lock = (work / "lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise SandboxError(f"another sandbox runs in {work}", "Stop it, or name another directory.") from None
    return lock


def _remove(work: Path) -> None:
    roots.delete(work / "root")
    (work / "lock").unlink(missing_ok=True)
    work.rmdir()


def _free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _there(thing: Part | None) -> Part:
    if thing is None:
        raise SandboxError("the sandbox PBX is not started")
    return thing
