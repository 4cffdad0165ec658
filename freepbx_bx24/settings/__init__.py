"""The YAML file: loaded whole or refused with everything that is wrong with it, a line each."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigurationError
from . import files, tree
from .build import build
from .model import PortalSettings, Settings
from .problems import lines, printable
from .walk import missing, typed, walk, ways

__all__ = ["DEFAULT_PATH", "PortalSettings", "Settings", "configuration_path", "load"]

DEFAULT_PATH = Path("/etc/freepbx_bx24.yaml")
_NO_FILE = "Run install.sh, which writes this file, or name another one in the environment's BX24_CONFIG."
# A thousand lines with all their options are 200 kB.
_LONGEST = 512 * 1024


def configuration_path(path: Path | None = None) -> Path:
    """Return where the YAML is: the argument, else the environment's BX24_CONFIG, else /etc/freepbx_bx24.yaml."""
    return path or Path(os.environ.get("BX24_CONFIG") or DEFAULT_PATH)


def load(path: Path | None = None) -> Settings:
    """Read the YAML and the files that it names.

    :param path: the YAML, by default as `configuration_path` says.
    :raises ConfigurationError: with every problem at once, each one printable line, as in
        `/etc/freepbx_bx24.yaml:6: portal.webhok_file: unknown option, did you mean 'webhook_file'?`. No line holds a
        secret.
    """
    place = configuration_path(path)
    try:
        content, _ = files.read(place, _LONGEST, "configuration")
    except ValueError as error:
        hint = _NO_FILE if isinstance(error, files.NoSuchFile) else ""
        raise ConfigurationError([printable(f"{place}: {error}")], hint) from None
    root, problems, complete = tree.parse(content)
    values, wrong = walk(root)
    settings, unusable = build(place, values)
    wrong += unusable + ways(root, typed(root), complete)
    if complete:
        problems += wrong + missing(root, typed(root))
    else:
        # What a broken file lacks may stand behind the place where it is broken, and what is near it may be misread.
        problems += [problem for problem in wrong if problem.line < problems[-1].line]
    if problems:
        raise ConfigurationError(lines(place, problems))
    return settings
