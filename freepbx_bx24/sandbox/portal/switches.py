"""The points where portals differ (or where documentation and portal disagree), each as one switch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Switches:
    """How this portal behaves; a test may change a switch at any time."""

    # The documentation calls register, finish and externalLine.* application-only; portals let webhooks in.
    webhook_allowed_for_register: bool = True
    # Telephony errors travel with an empty code; the documentation lists them as ERROR_CORE.
    empty_error_code: bool = True
    # The documentation gives the authorisation family 403, portals answer 401.
    auth_error_status: int = 401
    # CRM works with leads; without them a new client becomes a contact and a deal.
    lead_mode: bool = True
    # With leads: a known client without open work gets a repeat lead.
    repeat_leads: bool = True
    # The portal's administrator has closed it: every method answers PORTAL_DELETED.
    portal_deleted: bool = False
    # Cloud portals count the seconds a method used; self-hosted ones do not send the two keys.
    operating_time: bool = True
