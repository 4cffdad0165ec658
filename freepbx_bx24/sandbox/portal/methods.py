"""The table of REST methods: name, function, scopes, and whether parameter names are read in any case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from freepbx_bx24.sandbox.portal import (
    call_statistics,
    completion,
    crm,
    directory,
    lines,
    notices,
    offline_events,
    profile,
    records,
    registration,
    subscriptions,
    transcription,
)
from freepbx_bx24.sandbox.portal.state import Context

ANY: frozenset[str] = frozenset()
TELEPHONY = frozenset({"telephony"})
MESSENGER = frozenset({"im"})
PEOPLE = frozenset({"user", "user_basic", "user_brief"})


@dataclass(frozen=True)
class Method:
    """One REST method. `scopes`: one of them is needed. Telephony parameter names count exactly, in capitals."""

    run: Callable[[Context, dict[str, Any]], Any]
    scopes: frozenset[str] = TELEPHONY
    any_case: bool = False
    in_batch: bool = True

    def call(self, context: Context, parameters: dict[str, Any]) -> Any:
        """Run under the portal's lock."""
        if self.any_case:
            parameters = {key.upper(): value for key, value in parameters.items()}
        return self.run(context, parameters)


METHODS: dict[str, Method] = {
    "telephony.externalcall.register": Method(registration.register),
    "telephony.externalcall.finish": Method(completion.finish),
    "telephony.externalcall.show": Method(registration.show),
    "telephony.externalcall.hide": Method(registration.hide),
    "telephony.externalcall.searchcrmentities": Method(crm.search),
    "telephony.externalcall.attachrecord": Method(records.attach_record),
    "telephony.call.attachtranscription": Method(transcription.attach_transcription),
    "telephony.externalline.add": Method(lines.add),
    "telephony.externalline.update": Method(lines.update),
    "telephony.externalline.delete": Method(lines.delete),
    "telephony.externalline.get": Method(lines.get),
    "voximplant.statistic.get": Method(call_statistics.statistics),
    "user.get": Method(directory.users, PEOPLE, any_case=True),
    "event.bind": Method(subscriptions.bind, ANY, any_case=True),
    "event.unbind": Method(subscriptions.unbind, ANY, any_case=True),
    "event.get": Method(subscriptions.get, ANY, any_case=True),
    "events": Method(subscriptions.events, ANY, any_case=True),
    "feature.get": Method(subscriptions.feature, ANY, any_case=True),
    "event.offline.get": Method(offline_events.get, ANY, any_case=True),
    "event.offline.list": Method(offline_events.listing, ANY, any_case=True),
    "event.offline.clear": Method(offline_events.clear, ANY, any_case=True),
    "event.offline.error": Method(offline_events.error, ANY, any_case=True),
    "im.notify.system.add": Method(notices.add, MESSENGER, any_case=True),
    "profile": Method(profile.profile, ANY),
    "app.info": Method(profile.app_info, ANY),
    "scope": Method(profile.scope, ANY, any_case=True),
    "upload": Method(records.upload, in_batch=False),
}
