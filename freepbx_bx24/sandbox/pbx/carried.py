"""What a private root is given of the machine's own set-up, so that apt-get and pip work inside: name servers, trusted
certificates, the mirror, apt's download settings and pip's settings."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import urllib.parse
from pathlib import Path
from typing import Mapping

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
OWN_AUTHORITIES = Path("/usr/local/share/ca-certificates")
# As pip reads them, the later ones win (pip documentation, "Configuration"); the environment comes last.
PIP_FILES = ("/etc/xdg/pip/pip.conf", "/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
PIP_PLACES = ("find-links", "extra-index-url", "index-url", "cert", "client-cert", "constraint", "requirement")
# Only what apt's settings say of downloading: hooks and caches of the machine would do harm inside.
APT_DOWNLOAD = re.compile(r"Acquire::(Check-|http|https|ftp|Retries|ForceIPv|Proxy|Queue-Mode)", re.IGNORECASE)
# dpkg's scripts ask this program before they start a service (invoke-rc.d(8)); 101 forbids it: there is no init inside.
POLICY = "#!/bin/sh\nexit 101\n"


def carry(root: Path) -> None:
    """Write the machine's set-up into `root`, over what is there. Mirrors stay as they are."""
    etc = root / "etc"
    (etc / "resolv.conf").unlink(missing_ok=True)
    shutil.copyfile("/etc/resolv.conf", etc / "resolv.conf")
    if not (etc / "hosts").exists():  # debootstrap makes none; glibc before 2.34 then knows no localhost
        (etc / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="ascii")
    if CERTIFICATES.exists():
        shutil.copyfile(CERTIFICATES, root / str(CERTIFICATES).lstrip("/"))
    if OWN_AUTHORITIES.is_dir():
        # A later update-ca-certificates inside makes the bundle anew: the machine's own authorities must be in it.
        shutil.copytree(OWN_AUTHORITIES, root / str(OWN_AUTHORITIES).lstrip("/"), dirs_exist_ok=True)
    # Both may hold a password of a proxy or an index, so they are root's alone.
    _write_private(etc / "apt/apt.conf.d/99sandbox", apt_settings())
    _write_private(etc / "pip.conf", pip_settings(root, os.environ))
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text(POLICY, encoding="ascii")
    policy.chmod(0o755)


def mirrors() -> list[str]:
    """The Debian mirrors of the machine's own apt sources, each once, in their order."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line.rstrip("/") for line in done.stdout.splitlines() if re.match(r"https?://.*/debian/?$", line)]
    return list(dict.fromkeys(found))


def apt_settings() -> str:
    """The machine's apt settings about downloading, as the text of an apt.conf file."""
    done = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if APT_DOWNLOAD.match(line) and not line.endswith('"";')]
    return "\n".join(lines) + "\n"


def pip_settings(root: Path, environment: Mapping[str, str]) -> str:
    """The machine's pip settings, of files and of PIP_ variables, as the text of a pip.conf for `root`.

    Folders and files that exist on the machine only are dropped: pip would stop or complain about each of them.
    """
    merged = configparser.RawConfigParser()
    merged.read([str(Path(name).expanduser()) for name in (*PIP_FILES, environment.get("PIP_CONFIG_FILE", ""))])
    if not merged.has_section("global"):
        merged.add_section("global")
    for name, value in environment.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE":
            merged.set("global", name[4:].lower().replace("_", "-"), value)
    lines = []
    for section in merged.sections():
        lines.append(f"[{section}]")
        for option, value in merged.items(section):
            if option in PIP_PLACES:
                value = " ".join(place for place in value.split() if _reachable_inside(root, place))
            if value:
                lines.append(f"{option} = " + value.replace("\n", "\n    "))
    return "\n".join(lines) + "\n"


def _reachable_inside(root: Path, place: str) -> bool:
    """Whether a URL or a path means anything inside the root; web addresses do."""
    parts = urllib.parse.urlsplit(place)
    if parts.scheme not in ("", "file"):
        return True
    return (root / parts.path.lstrip("/")).exists()


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
