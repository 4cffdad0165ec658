"""The configuration of the sandbox's Asterisk: the packaged templates, filled in for one release and its ports."""

from __future__ import annotations

import re
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Mapping, Sequence

TEMPLATES = Path(__file__).resolve().parent.parent / "configs"
# Macro() and MacroExit() are gone from this release on; FreePBX 17 calls its "macro-" contexts by Gosub there.
FIRST_WITHOUT_MACRO = 21
MODULE_DIRECTORIES = ("usr/lib/x86_64-linux-gnu/asterisk/modules", "usr/lib/asterisk/modules")
MONITOR = "/var/spool/asterisk/monitor"
# Not a file of Asterisk's: the part of asterisk.conf that is ours.
_OPTIONS_FILE = "asterisk-options.conf"


@dataclass(frozen=True)
class Account:
    """One SIP peer of the PBX: a trunk (told by its address) or an extension (told by name and password).

    :param name: the endpoint's name, as in `PJSIP/<name>-00000001`.
    :param address: `host:port` where it takes calls.
    :param password: of an extension; empty for a trunk.
    """

    name: str
    address: str
    password: str = ""


@dataclass(frozen=True)
class Settings:
    """What one sandbox's Asterisk is told.

    :param major: Asterisk's major version.
    :param rtp_ports: first and last UDP port for sound.
    :param record: record every outside call, as FreePBX's "force" does.
    """

    major: int
    sip_port: int
    ami_port: int
    rtp_ports: tuple[int, int]
    trunks: Sequence[Account]
    phones: Sequence[Account]
    record: bool = False


def write(root: Path, settings: Settings) -> None:
    """Replace the root's /etc/asterisk files by ours and fill its AstDB; the owner is the asterisk user of the root.

    Debian's other files and the [directories] of its asterisk.conf stay.
    """
    etc = root / "etc/asterisk"
    for template in sorted(TEMPLATES.glob("*.conf")):
        if template.name != _OPTIONS_FILE:
            (etc / template.name).write_text(render(template.read_text(encoding="utf-8"), settings), encoding="utf-8")
    options = (TEMPLATES / _OPTIONS_FILE).read_text(encoding="utf-8")
    asterisk_conf = etc / "asterisk.conf"
    directories = asterisk_conf.read_text(encoding="utf-8").split("[options]")[0]
    asterisk_conf.write_text(directories + options, encoding="utf-8")
    _drop_missing_modules(root, etc / "modules.conf")
    _fill_database(root / "var/lib/asterisk/astdb.sqlite3", settings.phones)
    owner = (root / "var/lib/asterisk").stat()
    for path in (*etc.rglob("*"), etc, root / "var/lib/asterisk/astdb.sqlite3"):
        shutil.chown(path, owner.st_uid, owner.st_gid)


def render(text: str, settings: Settings) -> str:
    """Fill in a template's places: values, and calls in the way of the release."""
    macro = settings.major < FIRST_WITHOUT_MACRO
    places: Mapping[str, Callable[[str, str], str]] = {
        "CALL": lambda name, given: f"Macro({name},{given})" if macro else f"Gosub(macro-{name},s,1({given}))",
        "ON_ANSWER": lambda name, given: f"{'M' if macro else 'U'}({'' if macro else 'sub-'}{name}^{given})",
    }
    values = {
        "RETURN": "MacroExit()" if macro else "Return()",
        "RECORD": "yes" if settings.record else "no",
        "MONITOR": MONITOR,
        "SIP_PORT": settings.sip_port,
        "AMI_PORT": settings.ami_port,
        "RTP_FIRST": settings.rtp_ports[0],
        "RTP_LAST": settings.rtp_ports[1],
        "TRUNKS": "\n".join(_trunk(account) for account in settings.trunks),
        "PHONES": "\n".join(_phone(account) for account in settings.phones),
    }
    text = re.sub(r"@(CALL|ON_ANSWER)\(([\w-]+),(.*?)\)@", lambda found: places[found[1]](found[2], found[3]), text)
    return re.sub(r"@([A-Z_]+)@", lambda found: str(values[found[1]]), text)


def _trunk(account: Account) -> str:
    host = account.address.rpartition(":")[0]
    return f"""
[{account.name}](sandbox-trunk)
aors={account.name}
[{account.name}]
type=aor
contact=sip:{account.address}
[{account.name}-identify]
type=identify
endpoint={account.name}
match={host}"""


def _phone(account: Account) -> str:
    return f"""
[{account.name}](sandbox-phone)
aors={account.name}
auth={account.name}-auth
callerid=Extension {account.name} <{account.name}>
[{account.name}]
type=aor
contact=sip:{account.name}@{account.address}
[{account.name}-auth]
type=auth
auth_type=userpass
username={account.name}
password={account.password}"""


def _drop_missing_modules(root: Path, modules_conf: Path) -> None:
    """Leave out `load` lines of modules that are not in the root."""
    present = {path.name for place in MODULE_DIRECTORIES for path in (root / place).glob("*.so")}
    lines = modules_conf.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("load") or line.partition("=>")[2].strip() in present]
    modules_conf.write_text("\n".join(kept) + "\n", encoding="utf-8")


def _fill_database(path: Path, phones: Sequence[Account]) -> None:
    """Write what FreePBX keeps of each extension in AstDB, in the table that Asterisk itself makes."""
    rows = []
    for phone in phones:
        rows += [
            (f"/DEVICE/{phone.name}/user", phone.name),
            (f"/DEVICE/{phone.name}/dial", f"PJSIP/{phone.name}"),
            (f"/DEVICE/{phone.name}/type", "fixed"),
            (f"/AMPUSER/{phone.name}/device", phone.name),
            (f"/AMPUSER/{phone.name}/cidname", f"Extension {phone.name}"),
            (f"/AMPUSER/{phone.name}/cidnum", phone.name),
        ]
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS astdb (key VARCHAR(256), value VARCHAR(256), PRIMARY KEY(key))")
        connection.executemany("INSERT OR REPLACE INTO astdb VALUES (?, ?)", rows)
    connection.close()
