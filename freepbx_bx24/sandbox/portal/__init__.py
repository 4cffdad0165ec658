"""A Bitrix24 portal to try and test against: its telephony REST over real HTTP, and a ledger of what the CRM shows."""

from __future__ import annotations

from freepbx_bx24.sandbox.portal.clock import SimulatedTime
from freepbx_bx24.sandbox.portal.interference import Reply
from freepbx_bx24.sandbox.portal.server import Portal
from freepbx_bx24.sandbox.portal.switches import Switches
from freepbx_bx24.sandbox.portal.world import Employee, Entity, World

__all__ = ["Employee", "Entity", "Portal", "Reply", "SimulatedTime", "Switches", "World"]
