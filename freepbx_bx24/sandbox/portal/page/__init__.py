"""The portal's web page: what its employees would see in Bitrix24, live, and what a person can do to the portal."""

from __future__ import annotations

from freepbx_bx24.sandbox.portal.page.server import Page

__all__ = ["Page"]
