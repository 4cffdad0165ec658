"""The product let into the portal as a local application by `bx24 login`, for the length of a test."""

from __future__ import annotations

import contextlib
from typing import Iterator

from freepbx_bx24.sandbox.let_in import SECRET, log_in, named_in
from freepbx_bx24.sandbox.product import YAML

from .world import World

TOKENS = "/var/lib/freepbx-bx24/token.json"


@contextlib.contextmanager
def logged_in(world: World) -> Iterator[None]:
    """The YAML names the portal's application, and an administrator has let it in; the webhook again afterwards."""
    root = world.pbx.root
    text = named_in(root.outside(YAML).read_text(encoding="utf-8"), root, world.portal)
    try:
        with world.yaml(text):
            log_in(root)
            yield
    finally:
        root.outside(SECRET).unlink()
        root.outside(TOKENS).unlink(missing_ok=True)
