"""Rules and calls that the tests of decisions share."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone

from hypothesis import strategies as some

from freepbx_bx24.call import INBOUND, OUTBOUND, Beginning, Person, Registration
from freepbx_bx24.policy import NEVER, PORTAL, LineRules, Rules, decide_registration

MOSCOW = timezone(timedelta(hours=3))
STARTED = datetime(2026, 9, 21, 17, 15, 20, tzinfo=MOSCOW)
OWNER, SALES, SUPPORT = Person("100"), Person("101"), Person("120")

RULES = Rules(
    country="RU",
    area_code="495",
    pbx_id="pbx-7f3a91",
    default_person=OWNER,
    default_line="+74957770000",
    lines=(
        LineRules("+74957770000", name="Sales", person=SALES, source="WEB"),
        LineRules("+74957770001", name="Support", person=SUPPORT, create_in=NEVER, create_out=PORTAL),
        LineRules("+74957770002", name="Shop", dids=("770002", "_88003330XX"), trunk="mts"),
    ),
    skip_dids=("+74957770099",),
    skip_extensions=("199", "9XX"),
    skip_numbers=("+7800*",),
    people={"10101": Person("101"), "reception": OWNER, "chief": Person(user_id=12)},
)

INBOUND_CALL = Beginning(
    uniqueid="1790000120.77",
    linkedid="1790000120.70",
    channel="PJSIP/beeline-00000001",
    direction=INBOUND,
    number="+79161234567",
    did="74957770000",
    started=STARTED,
    trunk="beeline",
)
OUTBOUND_CALL = replace(INBOUND_CALL, direction=OUTBOUND, number="89161234567", extension="103")


def registration(beginning: Beginning = INBOUND_CALL, rules: Rules = RULES, **changes: object) -> Registration:
    decision = decide_registration(rules, replace(beginning, **changes))
    assert isinstance(decision, Registration), decision
    return decision


TEXT = some.text(max_size=80) | some.sampled_from(["s", "anonymous", "101", "user:3", "+79161234567", "\x00", "1" * 70])


def texts(kind: type, *but: str) -> some.SearchStrategy[dict[str, str]]:
    return some.fixed_dictionaries(
        {one.name: TEXT for one in fields(kind) if one.type == "str" and one.name not in but}
    )
