"""Become the user Asterisk runs as: files that root made in the state folder would lock the service out."""

from __future__ import annotations

import os
import pwd

from ..errors import ServiceError
from ..service.surroundings import state_directory


def become_service_user() -> None:
    """Where root runs us, go on as the owner of the state folder.

    :raises ServiceError: where that folder is missing: the product is not installed.
    """
    if os.geteuid() != 0:
        return
    try:
        owner = state_directory().stat().st_uid
    except OSError as error:
        raise ServiceError(f"{state_directory()}: {error.strerror}", "Run ./install.sh first.") from error
    if owner != 0:
        name = pwd.getpwuid(owner)
        os.initgroups(name.pw_name, name.pw_gid)
        os.setgid(name.pw_gid)
        os.setuid(owner)
