"""What the YAML becomes: one frozen value that the whole program works with; its secrets do not print."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..policy import Rules


@dataclass(frozen=True)
class PortalSettings:
    """How the portal is reached.

    `webhook_url` is a secret and ends with a slash; `ca_bundle` is a path, empty for the certificates of the library.
    """

    webhook_url: str = field(repr=False)
    ca_bundle: str = ""


@dataclass(frozen=True)
class Settings:
    """Everything of the YAML. Waits are seconds, `path` is the YAML's own."""

    path: Path
    rules: Rules
    portal: PortalSettings
    wait_in: float
    wait_out: float
    journal_days: int
    mask_numbers: bool
