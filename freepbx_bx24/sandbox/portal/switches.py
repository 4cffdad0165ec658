"""The points where portals differ (or where documentation and portal disagree), each as one switch."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Switches:
    """How this portal behaves; a test may change a switch at any time."""

    # The documentation calls register, finish and externalLine.* application-only; portals let webhooks in.
    webhook_allowed_for_register: bool = True
    # Telephony errors travel with an empty code; the documentation lists them as ERROR_CORE.
    empty_error_code: bool = True
    # The documentation gives the authorisation family 403, portals answer 401.
    auth_error_status: int = 401
    # Without the CRM's module there is nobody to search for.
    crm_installed: bool = True
    # CRM works with leads; without them a new client becomes a contact and a deal.
    lead_mode: bool = True
    # With leads: a known client without open work gets a repeat lead.
    repeat_leads: bool = True
    # The portal's administrator has closed it: every method answers PORTAL_DELETED.
    portal_deleted: bool = False
    # Cloud portals count the seconds a method used; self-hosted ones do not send the two keys.
    operating_time: bool = True
    # Cloud portals block a method of a caller above this many seconds in ten minutes (480 by the documentation);
    # None: not enforced, as on self-hosted portals.
    operating_limit_seconds: float | None = None
    # Seconds that each run of a method (its name in any case) is charged beyond the real ones; nobody waits for them.
    method_seconds: dict[str, float] = field(default_factory=dict)
    # The bucket of requests: None (no limit, as on self-hosted portals), "ordinary" or "enterprise".
    plan: str | None = None
    # Wording of the documentation, where portals say it a little differently.
    documented_wording: bool = False
    # A finish without ADD_TO_CHAT: the documentation says yes, portals say no.
    add_to_chat_default: bool = False
    # The portal has another name now (an origin): all of /rest/ answers 302 to the same path there, and nothing runs.
    renamed_to: str = ""
    # Life of access and refresh tokens that are given out from now on, in seconds.
    token_seconds: float = 3600
    refresh_token_seconds: float = 180 * 86400
    # Whether a refresh token that was already used still works; nobody documents it.
    old_refresh_token_works: bool = False
    # All token requests of a known application are refused with this error (a key of oauth.OAUTH_ERRORS).
    oauth_error: str = ""
    # The longest body of a request that the front end takes (413 above it); the upload address takes any.
    largest_body: int | None = None
    # The plan lets offline events be reserved (CLEAR 0) and confirmed; self-hosted portals always do.
    offline_extended: bool = True
    # The portal's disk is full: no recording can be stored.
    disk_full: bool = False
