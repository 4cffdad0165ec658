"""What all tests have in common: no secret in anything that they log, print or write."""

from __future__ import annotations

pytest_plugins = ["tests.support.secret_sweep"]
