"""The configuration of the sandbox's Asterisk: the packaged templates, filled in for one release and its ports."""

from __future__ import annotations

import re
import shutil
import sqlite3
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Mapping, Sequence

from freepbx_bx24.sandbox.pbx import people

TEMPLATES = Path(__file__).resolve().parent.parent / "configs"
# Macro() and MacroExit() are gone from this release on; FreePBX 17 calls its "macro-" contexts by Gosub there.
FIRST_WITHOUT_MACRO = 21
MODULE_DIRECTORIES = ("usr/lib/x86_64-linux-gnu/asterisk/modules", "usr/lib/asterisk/modules")
MONITOR = "/var/spool/asterisk/monitor"
SOUNDS = "usr/share/asterisk/sounds"
VOICEMAIL = "var/spool/asterisk/voicemail"
# What voices say is silence here, and as long as this. Debian's own prompts are not to be heard (the module of their
# format is not loaded), so that features which play them take no longer than a test wants to wait. Without theirs the
# feature codes for transfers do nothing.
GREETINGS = {"unavail": 0.4, "busy": 0.4}
PROMPTS = {"ss-noservice": 3.0, "vm-goodbye": 2.0, "beep": 0.1, "beeperr": 0.1, "pbx-transfer": 0.2, "pbx-invalid": 0.2}
# Not a file of Asterisk's: the part of asterisk.conf that is ours.
_OPTIONS_FILE = "asterisk-options.conf"


@dataclass(frozen=True)
class Account:
    """One SIP peer of the PBX: a trunk (told by its address) or an extension (told by name and password).

    :param name: the endpoint's name, as in `PJSIP/<name>-00000001`.
    :param address: `host:port` where it takes calls; empty for a phone that registers when it is on.
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
    _fill_database(root / "var/lib/asterisk/astdb.sqlite3")
    _record(root / SOUNDS, PROMPTS)
    for mailbox in people.MAILBOXES:
        _record(root / VOICEMAIL / "default" / mailbox, GREETINGS)
    owner = (root / "var/lib/asterisk").stat()
    voicemail = root / VOICEMAIL
    for path in (*etc.rglob("*"), etc, root / "var/lib/asterisk/astdb.sqlite3", voicemail, *voicemail.rglob("*")):
        shutil.chown(path, owner.st_uid, owner.st_gid)


def render(text: str, settings: Settings) -> str:
    """Fill in a template's places: values, calls in the way of the release, and lines of one release alone."""
    macro = settings.major < FIRST_WITHOUT_MACRO
    values = {
        "RETURN": "MacroExit()" if macro else "Return()",
        # Runs on the telephone that has answered for a group, a queue or a follow-me: M() is Macro's, U() is Gosub's.
        "BLKVM": "M(auto-blkvm)" if macro else "U(macro-auto-blkvm)",
        "RECORD": "yes" if settings.record else "no",
        "MONITOR": MONITOR,
        "SIP_PORT": settings.sip_port,
        "AMI_PORT": settings.ami_port,
        "RTP_FIRST": settings.rtp_ports[0],
        "RTP_LAST": settings.rtp_ports[1],
        "TRUNKS": "\n".join(_trunk(account) for account in settings.trunks),
        "PHONES": "\n".join(_phone(account) for account in settings.phones),
        "HINTS": people.hints(),
    }
    call: Callable[[str, str], str] = (
        (lambda name, given: f"Macro({name},{given})")
        if macro
        else (lambda name, given: f"Gosub(macro-{name},s,1({given}))")
    )
    text = re.sub(rf"^@{17 if macro else 16} .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(rf"^@{16 if macro else 17} ", "", text, flags=re.MULTILINE)
    text = re.sub(r"@CALL\(([\w-]+),(.*?)\)@", lambda found: call(found[1], found[2]), text)
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
    contact = f"contact=sip:{account.name}@{account.address}\n" if account.address else ""
    return f"""
[{account.name}](sandbox-phone)
aors={account.name}
call_group={people.track_of(account.name)}
pickup_group={people.track_of(account.name)}
auth={account.name}-auth
callerid={people.caller_id(account.name)}
[{account.name}]
type=aor
{contact}max_contacts=3
remove_existing=no
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


def _fill_database(path: Path) -> None:
    """Write what FreePBX keeps of each extension in AstDB, in the table that Asterisk itself makes."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS astdb (key VARCHAR(256), value VARCHAR(256), PRIMARY KEY(key))")
        connection.executemany("INSERT OR REPLACE INTO astdb VALUES (?, ?)", people.rows())
    connection.close()


def _record(folder: Path, sounds: Mapping[str, float]) -> None:
    """Write silent sounds: their names and seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, seconds in sounds.items():
        with wave.open(str(folder / f"{name}.wav"), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(bytes(2 * int(8000 * seconds)))
