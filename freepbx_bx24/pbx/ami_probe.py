"""Tries the AMI account as it will be used: its file, a real login, the list of channels, the rights that it has.

install.sh runs it as the user of the service: `python3 -m freepbx_bx24.pbx.ami_probe FILE [dials]`.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

from ..errors import AmiError, AmiTimeout, AmiUnreachable, ServiceError
from .agi import harmless
from .ami import CONNECT_SECONDS, LOGIN_SECONDS, SNAPSHOT_SECONDS
from .ami_session import Session
from .console import console
from .manager_conf import ManagerAccount, read_account

INSTALL = "Run ./install.sh again: it makes the user, and says what is in the way."
READ = ("call", "all")  # one of these lets it see the events of calls
WRITE = ("originate", "all")  # one of these lets it have calls begun


@dataclass(frozen=True)
class Tried:
    """One thing that was tried; `hint` says what to type where it is not right.

    :ivar reached: False: nobody answered, so nothing is known of the user.
    """

    right: bool
    text: str
    hint: str = ""
    reached: bool = True


def attempts(path: Path, dials: bool = False) -> Iterator[Tried]:
    """Try one thing after the other, up to the first that is not right.

    :param path: the file with the user, `manager_bx24.conf`. No text holds its secret. :param dials: it is the user who
        may dial, and see nothing.
    """
    account, reason = read_account(path)
    if account is None:
        yield Tried(False, reason, INSTALL)
        return
    if not account.enabled:
        general = path.parent / "manager.conf"
        yield Tried(
            False,
            "Asterisk's manager interface is off",
            f"Write `enabled = yes` and `bindaddr = 127.0.0.1` below [general] in {general},"
            " then type: asterisk -rx 'manager reload'",
        )
        return
    user = harmless(account.user)
    try:
        seen = "" if dials else f"; {_channels(account)} channels are up"
        if dials:
            _log_in(account)
        yield Tried(True, f"the user {user} logs in{seen}")
    except AmiError as error:
        reached = not isinstance(error, (AmiUnreachable, AmiTimeout))
        yield Tried(False, f"{error.message} (user {user}, {account.host}:{account.port})", error.hint, reached)
        return
    yield _rights(account.user, path, "write" if dials else "read")


def _log_in(account: ManagerAccount) -> None:
    """Log in, and leave. :raises AmiError: it did not succeed."""
    session = Session(account.host, account.port, lambda event: None, lambda: None, CONNECT_SECONDS)
    try:
        session.log_in(account.user, account.secret, LOGIN_SECONDS)
    finally:
        session.break_off(AmiUnreachable("the connection was ended"))
        session.close()


def _channels(account: ManagerAccount) -> int:
    """Log in, ask what the service asks first, and leave; how many channels are up.

    :raises AmiError: one of these did not succeed.
    """
    session = Session(account.host, account.port, lambda event: None, lambda: None, CONNECT_SECONDS)
    try:
        session.log_in(account.user, account.secret, LOGIN_SECONDS)
        listed = session.ask("CoreShowChannels", {}, SNAPSHOT_SECONDS, is_list=True)
        listed.result()
        return len(listed.rows)
    finally:
        session.break_off(AmiUnreachable("the connection was ended"))
        session.close()


# What a right lets it do, the words of Asterisk for it, and what has to be written where it is missing.
_WHAT = {"read": ("see calls", "sees calls", READ), "write": ("begin calls", "begins calls", WRITE)}


def _rights(user: str, path: Path, kind: str) -> Tried:
    """Whether it has its right. Over the interface itself nothing tells: who may not see an event simply gets none."""
    may, does, words = _WHAT[kind]
    try:
        shown = console(f"manager show user {user}")
    except ServiceError as error:
        return Tried(False, error.message, error.hint)
    found = re.search(rf"{kind} perm:[ \t]*(\S*)", shown)
    seen = [harmless(word) for word in found[1].split(",")] if found else []
    right = any(word in words for word in seen)
    return Tried(
        right,
        f"it {does if right else f'does not {may}'} ({kind} = {', '.join(seen) or 'nothing'})",
        f"Write `{kind} = {words[0]}` below [{harmless(user)}] in {path}, then type: asterisk -rx 'manager reload'",
    )


def main(arguments: Sequence[str]) -> int:
    """Print what is not right; 0 where all is, 1 where the user does not do, 2 where nobody answered."""
    wrong = [one for one in attempts(Path(arguments[0]), arguments[1:] == ["dials"]) if not one.right]
    for one in wrong:
        print(f"  {one.text}\n    -> {one.hint}")
    return (1 if all(one.reached for one in wrong) else 2) if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
