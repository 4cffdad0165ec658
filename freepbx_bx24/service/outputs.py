"""The channel variables that register leaves for the dialplan."""

from __future__ import annotations

from dataclasses import dataclass

from ..journal.records import Registered
from ..pbx.agi import Conversation

REGISTERED = "REGISTERED"
PENDING = "PENDING"
SKIPPED = "SKIPPED"
FAILED = "FAILED"


@dataclass(frozen=True)
class About:
    """What the dialplan is told of the client: the name, and the number of the person to ring first.

    :ivar seconds: how long to ring that person, 0 where it is not wanted or the person is not at work.
    """

    name: str = ""
    responsible: str = ""
    seconds: int = 0


NOBODY = About()


def tell(
    conversation: Conversation,
    status: str,
    reason: str = "",
    registered: Registered | None = None,
    about: About = NOBODY,
) -> None:
    """Set every output variable, the empty ones too where a leg may have inherited those of another call.

    BX24_STATUS goes last: where it is set, the others are.

    :raises ChannelError: where the channel or the guard is gone.
    """
    entity = registered.entity if registered else None
    values = {
        "REASON": reason,
        "CALL_ID": registered.call_id if registered else "",
        "CRM_ENTITY_TYPE": entity.type if entity else "",
        "CRM_ENTITY_ID": str(entity.id) if entity else "",
        "CRM_CREATED_LEAD": str(registered.created_lead) if registered and registered.created_lead else "",
        "CRM_NAME": about.name,
        "RESPONSIBLE": about.responsible,
        "RESPONSIBLE_SECONDS": str(about.seconds) if about.seconds else "",
        "STATUS": status,
    }
    conversation.set_outputs(values)
