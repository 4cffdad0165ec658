"""Where a call may come in: each context that FreePBX gives trunks, and strangers; and what keeps some of them out."""

from __future__ import annotations

from typing import Mapping

import pytest

from freepbx_bx24.sandbox.pbx.harness import SandboxPbx

from .admins import admins_dialplan

CLIENT = "+79161234567"
# Contexts that lead to [from-pstn]: what is dialled there, and the DID that the routes see.
CONTEXTS: Mapping[str, tuple[str, str]] = {
    "from-trunk": ("74957770104", "74957770104"),
    "from-digital": ("74957770104", "74957770104"),
    "from-analog": ("+74957770104", "+74957770104"),
    "from-trunk-pai": ("74957770104", "74957770104"),
    "from-sip-external": ("74957770104", "74957770104"),
    "from-pstn": ("104", "104"),
    "from-pstn-e164-us": ("+12125550104", "2125550104"),
}
# Before the routes, the number called and the caller; the American number gets a route of its own.
REPORTING = """
[from-pstn-custom]
exten => _[+0-9]!,1,Log(NOTICE,comes ${EXTEN} ${CALLERID(num)})
 same => n,Goto(reported,${EXTEN},1)
[reported]
exten => 2125550104,1,Goto(from-did-direct,104,1)
include => ext-did
include => from-did-direct
"""
# The strangers' door leads to another context, with a number that has no route.
BY_TO_HEADER = """
[from-sip-external]
exten => _.,1,Goto(from-pstn-toheader,74957779999,1)
"""


@pytest.mark.parametrize("context", CONTEXTS)
def test_what_comes_in_by_this_context_reaches_the_routes(pbx: SandboxPbx, context: str) -> None:
    dialled, did = CONTEXTS[context]
    with admins_dialplan(pbx, REPORTING) as log:
        pbx.asterisk.rx(f"channel originate Local/{dialled}@{context} application Wait 1")
        assert pbx.phone(104).received().wait(12).final_status == 200
        assert [line.split()[0] for line in log.said("comes")] == [did]


def test_the_number_called_may_stand_in_the_to_header_alone(pbx: SandboxPbx) -> None:
    with admins_dialplan(pbx, REPORTING + BY_TO_HEADER) as log:
        pbx.guest.call("74957770104", CLIENT, talk=0.3).wait(12)
        assert log.said("comes") == [f"74957770104 {CLIENT}"]
    assert pbx.phone(104).received().wait(12).final_status == 200


def test_a_stranger_is_the_endpoint_anonymous_and_reaches_the_routes_as_a_trunk_does(pbx: SandboxPbx) -> None:
    with admins_dialplan(pbx, REPORTING) as log:
        caller = pbx.guest.call("+74957770104", CLIENT, talk=0.5).wait(12)
        assert log.said("comes") == [f"+74957770104 {CLIENT}"]
        assert log.dials("PJSIP/anonymous-")
    assert caller.final_status == 200
    assert pbx.phone(104).received().wait(12).from_user == CLIENT


def test_a_stranger_is_refused_where_anonymous_callers_are_not_allowed(pbx: SandboxPbx) -> None:
    pbx.asterisk.rx("dialplan set global ALLOW_SIP_ANON no")
    try:
        assert pbx.guest.call("74957770104", CLIENT).wait(12).final_status == 503
    finally:
        pbx.asterisk.rx("dialplan set global ALLOW_SIP_ANON yes")
    assert not pbx.phone(104).calls


def test_a_stranger_who_calls_himself_by_an_extensions_number_needs_its_password(pbx: SandboxPbx) -> None:
    assert pbx.guest.call("89161234567", "104").wait(12).final_status == 401
    assert not pbx.trunk.calls
