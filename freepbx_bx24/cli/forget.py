"""`bx24 forget`: erases a client's number from journal, caches and logs. Exit code 0; 1: some of it is still here."""

from __future__ import annotations

import argparse
import gzip
import re
from pathlib import Path
from typing import Any, Iterator, Sequence

from .. import numbers
from ..errors import ChannelError, ConfigurationError, ServiceError
from ..journal.forgetting import NATIONAL
from ..journal.intake_folder import intake_files
from ..journal.store import Journal
from ..service.surroundings import log_path, state_directory
from ..settings import load
from . import asking, words
from .user import become_service_user

SHORTEST = 6  # digits: a shorter number would be found within others
LONGEST = 20
LARGEST_LOG = 512 * 1024 * 1024
ELSEWHERE = (
    "Not touched: the CRM; Asterisk's own logs, CDRs and recordings; your backups;\n"
    "journald's copy of the log (journalctl --rotate --vacuum-time=1s)."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The number, `--json`."""
    parser.add_argument("number", type=number, metavar="NUMBER", help="the client's number, in any form")
    parser.add_argument("--json", action="store_true", help="print what was erased as JSON (docs/commands.md)")


def number(text: str) -> str:
    """A whole number's digits and plus. :raises argparse.ArgumentTypeError: it is none, or too short to be found."""
    digits = re.sub(r"[ ().-]", "", text)
    if not re.fullmatch(rf"\+?[0-9]{{{SHORTEST},{LONGEST}}}", digits):
        raise argparse.ArgumentTypeError(f"{words.harmless(text[:40])!r} is no whole telephone number")
    return digits


def run(options: argparse.Namespace) -> int:
    """Erase it here, and say where else it may be."""
    become_service_user()
    forms = forms_of(options.number)
    journal = erased(forms)
    logs = {str(path): count for path, count in wiped(Path(log_path()), forms)}
    waiting = left_in_intake(state_directory(), forms)
    damaged = [str(path) for path in sorted(state_directory().glob("journal.sqlite.damaged-*"))]
    done = not (journal["kept"] or waiting or damaged)
    if options.json:
        print(words.as_json({**journal, "logs": logs, "intake": waiting, "damaged": damaged, "done": done}))
        return 0 if done else 1
    print(f"Journal: {journal['calls']} calls and {journal['left_out']} that were left out are erased.")
    for path, count in logs.items():
        print(f"{path}: overwritten {count} times.")
    if journal["kept"] or waiting:
        print(f"{journal['kept'] + waiting} calls go on, or the CRM is still owed of them: they stay.")
        print("    -> bx24 outbox list   (wait, or drop them); then run this again.")
    for path in damaged:
        print(f"{path} may hold it.\n    -> rm {path}")
    print(ELSEWHERE)
    return 0 if done else 1


def forms_of(text: str) -> list[str]:
    """The number as the CRM knows it, then as it was typed, with and without its plus."""
    try:
        rules = load().rules
        canonical = numbers.canonical(text, rules.country, rules.area_code)
    except ConfigurationError:
        canonical = ""
    return list(dict.fromkeys(form for form in (canonical, text, canonical.lstrip("+"), text.lstrip("+")) if form))


def erased(forms: Sequence[str]) -> dict[str, Any]:
    """Have the service erase it, or do that here where none runs."""
    try:
        return asking.ask("forget", {"numbers": ",".join(forms)})
    except ChannelError:
        pass
    try:
        journal = Journal(state_directory())
    except OSError as error:
        raise ServiceError(f"{state_directory()}: {error.strerror}") from error
    try:
        return journal.forget(forms)._asdict()
    finally:
        journal.close()


def pattern_of(forms: Sequence[str]) -> re.Pattern[bytes]:
    """The number within a log, however it was dialled: its last ten digits, and up to four digits and a plus before."""
    digits = forms[0].lstrip("+")
    if len(digits) <= NATIONAL:
        return re.compile(rb"(?<![0-9])\+?" + digits.encode() + rb"(?![0-9])")
    return re.compile(rb"(?<![0-9])\+?[0-9]{0,4}" + digits[-NATIONAL:].encode() + rb"(?![0-9])")


def wiped(log: Path, forms: Sequence[str]) -> Iterator[tuple[Path, int]]:
    """Overwrite the number in the log and in what logrotate has kept of it; how often it was in each that had it.

    The log's own file stays the same file of the same length, since the service is writing at its end.
    """
    wanted = pattern_of(forms)
    for path in sorted(log.parent.glob(log.name + "*")):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_LOG:
            continue
        count = _wiped_packed(path, wanted) if path.suffix == ".gz" else _wiped_in_place(path, wanted)
        if count:
            yield path, count


def _wiped_in_place(path: Path, wanted: re.Pattern[bytes]) -> int:
    found = list(wanted.finditer(path.read_bytes()))
    if found:
        with path.open("r+b") as file:
            for one in found:
                file.seek(one.start())
                file.write(b"*" * (one.end() - one.start()))
    return len(found)


def _wiped_packed(path: Path, wanted: re.Pattern[bytes]) -> int:
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError):
        return 0
    wiped_content, count = wanted.subn(lambda one: b"*" * len(one[0]), content)
    if count:
        hidden = path.with_name(f".{path.name}.new")
        hidden.write_bytes(gzip.compress(wiped_content))
        hidden.chmod(path.stat().st_mode & 0o777)
        hidden.replace(path)
    return count


def left_in_intake(state: Path, forms: Sequence[str]) -> int:
    """How many of the files that scripts have left hold it; the service takes them in, then they are calls."""
    wanted, count = pattern_of(forms), 0
    for path in intake_files(state / "intake"):
        try:
            count += wanted.search(path.read_bytes()) is not None
        except OSError:  # taken in just now
            continue
    return count
