"""Who calls, before the phone rings: name and responsible person, within the caller's time and never at his cost."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from freepbx_bx24.sandbox.portal import Entity, Portal, Reply
from tests.support.agi_script import AgiRun
from tests.support.in_time import in_time
from tests.support.looking import Person
from tests.support.running_service import RunningService, asked, wait_until

REGISTER = "telephony.externalcall.register"
SEARCH = "telephony.externalcall.searchcrmentities"
ANNA = {"callerid": "84951234567"}  # a contact whom 102 looks after
LINE = "{name: Sales, person: 102}"


def line(service: RunningService, options: str) -> None:
    """Give the line of the calls more options."""
    text = service.yaml.read_text()
    assert LINE in text
    service.yaml.write_text(text.replace(LINE, LINE[:-1] + ", " + options + "}"))


def called(service: RunningService, second: int = 0, **environment: str) -> AgiRun:
    return service.register(f"17900001{second:02d}.77", environment={**ANNA, **environment})


def told(run: AgiRun) -> tuple[str, str, str]:
    name, person, seconds = (run.variables[f"BX24_{one}"] for one in ("CRM_NAME", "RESPONSIBLE", "RESPONSIBLE_SECONDS"))
    return name, person, seconds


@pytest.fixture
def wanting(service: RunningService) -> RunningService:
    """A service whose line wants the name, and the responsible person rung first."""
    line(service, "client_name: yes, responsible: 15s")
    return service.start()


def test_the_dialplan_is_told_the_name_and_whom_to_ring_first(wanting: RunningService) -> None:
    run = called(wanting)
    assert run.variables["BX24_STATUS"] == "REGISTERED"
    assert told(run) == ("Anna Petrova", "102", "15")


def test_lines_that_want_neither_ask_nothing_and_set_the_variables_empty(service: RunningService) -> None:
    service.start()
    assert told(called(service)) == ("", "", "")
    assert SEARCH not in asked(service.portal)


def test_a_line_that_wants_the_name_alone_rings_nobody(service: RunningService) -> None:
    line(service, "client_name: yes")
    service.start()
    assert told(called(service)) == ("Anna Petrova", "102", "")


def test_nobody_whom_the_crm_knows_has_no_name(wanting: RunningService) -> None:
    assert told(called(wanting, callerid="+79161234567")) == ("", "", "")


def test_the_lead_that_the_call_itself_makes_is_no_client_to_be_named_or_rung_for(
    portal: Portal, wanting: RunningService
) -> None:
    portal.delay_seconds[SEARCH] = 0.2  # so it finds the lead, which belongs to 102 as the line does
    for lead_mode, callerid in ((True, "+79161234567"), (False, "+79161234568")):
        portal.switches.lead_mode = lead_mode
        run = called(wanting, int(lead_mode), callerid=callerid)
        assert run.variables["BX24_CRM_ENTITY_ID"]
        assert told(run) == ("", "", "")


def test_outbound_calls_are_not_searched_for(wanting: RunningService) -> None:
    run = wanting.register(arguments=("out", "84951234567"), environment={"callerid": "74957770101"})
    assert told(run) == ("", "", "")
    assert SEARCH not in asked(wanting.portal)


@pytest.mark.parametrize("name", ["Иванов Пётр", "Æther Ñandú", "王小明"])
def test_names_of_all_alphabets_stay_readable(portal: Portal, wanting: RunningService, name: str) -> None:
    portal.world.entities[0].name = name
    assert told(called(wanting))[0] == name


@pytest.mark.parametrize(
    "name, shown",
    [
        ('"\nEXEC System "touch /tmp/pwned"', "EXEC System touch /tmp/pwned"),
        ("${SHELL(touch /tmp/pwned)}", "SHELL(touch /tmp/pwned)"),
        ("\\;,|&<101>", "101"),
        ("x" * 500, "x" * 100),
    ],
)
def test_a_name_that_is_a_command_becomes_words(portal: Portal, wanting: RunningService, name: str, shown: str) -> None:
    portal.world.entities[0].name = name
    run = called(wanting)
    assert told(run)[0] == shown
    assert not any(command.startswith("EXEC") for command in run.commands)


@pytest.mark.parametrize("status", ["CLOSED", "PAUSED", "EXPIRED"])
def test_who_is_not_at_work_is_not_rung(portal: Portal, wanting: RunningService, status: str) -> None:
    (responsible,) = [one for one in portal.world.employees if one.user_id == 1102]
    responsible.timeman = status
    assert told(called(wanting)) == ("Anna Petrova", "102", "")


def test_who_was_dismissed_is_not_rung(portal: Portal, service: RunningService) -> None:
    line(service, "client_name: yes, responsible: 15s")
    portal.world.entities[0].assigned_by_id = 1198
    service.start()
    wait_until(lambda: (service.directory / "state" / "directory.json").exists(), 10, service.log)
    assert told(called(service)) == ("Anna Petrova", "", "")


def test_name_and_person_come_without_the_service_too(service: RunningService) -> None:
    line(service, "client_name: yes, responsible: 15s")
    assert told(called(service)) == ("Anna Petrova", "102", "15"), service.log()


# -- time -----------------------------------------------------------------------------------------------------------


def test_the_search_runs_beside_the_register_and_not_after_it(portal: Portal, wanting: RunningService) -> None:
    portal.delay_seconds.update({REGISTER: 0.5, SEARCH: 0.5})
    run = called(wanting)
    assert told(run) == ("Anna Petrova", "102", "15")
    in_time(run.seconds, 0.95)


def test_a_slow_search_costs_half_a_second_at_most_and_only_the_name(portal: Portal, wanting: RunningService) -> None:
    portal.delay_seconds[SEARCH] = 2.5
    run = called(wanting)
    assert run.variables["BX24_STATUS"] == "REGISTERED"
    assert told(run) == ("", "", "")
    in_time(run.seconds, 0.95)


def test_a_slow_search_never_takes_more_than_is_left_of_the_budget(portal: Portal, service: RunningService) -> None:
    service.write_yaml(portal.webhook_url, wait=0.6)
    line(service, "client_name: yes")
    service.start()
    portal.delay_seconds.update({REGISTER: 0.35, SEARCH: 2.5})
    run = called(service)
    assert (run.variables["BX24_STATUS"], told(run)) == ("REGISTERED", ("", "", ""))
    in_time(run.seconds, 0.8)


def test_after_three_slow_searches_nobody_waits_for_one_until_they_are_fast_again(
    portal: Portal, wanting: RunningService
) -> None:
    portal.delay_seconds[SEARCH] = 1.5
    slow = [called(wanting, second, callerid=f"+7916000000{second}") for second in range(3)]
    assert min(run.seconds for run in slow) > 0.45
    in_time(called(wanting, 4, callerid="+79160000009").seconds, 0.4)
    portal.delay_seconds.clear()
    time.sleep(1.5)
    called(wanting, 5, callerid="+79160000010")  # finds out that it is fast again
    wait_until(lambda: "finds clients in time again" in wanting.log(), 5, wanting.log)
    assert told(called(wanting, 6)) == ("Anna Petrova", "102", "15")


def test_searches_that_are_always_a_little_too_late_are_not_waited_for(portal: Portal, wanting: RunningService) -> None:
    portal.delay_seconds[SEARCH] = 1.2  # later than a register that a busy machine slows down, and half a second more
    runs = [called(wanting, second, callerid=f"+7916000000{second}") for second in range(8)]
    assert min(run.seconds for run in runs[:3]) > 0.45
    in_time(max(run.seconds for run in runs[3:]), 0.45)


def test_a_portal_that_answers_nothing_in_time_still_lets_a_known_name_be_shown(
    portal: Portal, service: RunningService
) -> None:
    service.write_yaml(portal.webhook_url, wait=0.6)
    line(service, "client_name: yes")
    service.start()
    called(service)
    portal.delay_seconds.update({REGISTER: 2.0, SEARCH: 2.0})
    run = called(service, 1)
    assert (run.variables["BX24_STATUS"], told(run)) == ("PENDING", ("Anna Petrova", "102", ""))
    in_time(run.seconds, 0.8)


def test_an_answer_of_this_moment_is_not_asked_for_again(portal: Portal, wanting: RunningService) -> None:
    called(wanting)
    portal.delay_seconds[SEARCH] = 2.5
    run = called(wanting, 1)
    assert told(run) == ("Anna Petrova", "102", "15")
    in_time(run.seconds, 0.4)
    assert asked(portal).count(SEARCH) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, {"error": "", "error_description": "CRM is not installed."}),
        Reply(200, {"result": {"0": "x"}, "time": {}}),
        Reply(500, {"error": "INTERNAL_SERVER_ERROR", "error_description": "x"}),
    ],
)
def test_a_search_that_fails_costs_nothing_but_the_name(portal: Portal, wanting: RunningService, reply: Reply) -> None:
    portal.scripted_replies.add("telephony.externalCall.searchCrmEntities", reply, times=9)
    run = called(wanting)
    assert (run.variables["BX24_STATUS"], told(run)) == ("REGISTERED", ("", "", ""))
    in_time(run.seconds, 0.6)


def test_another_portals_clients_are_forgotten(portal: Portal, wanting: RunningService) -> None:
    called(wanting)
    with Portal() as other:
        other.world.entities[0].name = "Somebody else"
        (wanting.directory / "webhook").write_text(other.webhook_url + "\n")
        wanting.signal(signal.SIGHUP)
        wait_until(lambda: "was read again" in wanting.log(), 10, wanting.log)
        assert told(called(wanting, 1))[0] == "Somebody else"


# -- leads for unknown clients alone --------------------------------------------------------------------------------


@pytest.fixture
def unknown_only(service: RunningService) -> RunningService:
    line(service, "create: {in: unknown, out: unknown}")
    return service


def created_with(service: RunningService) -> dict[str, str]:
    """CRM_CREATE by number, of all registers that went out, those in batches too."""
    found = {}
    for request in service.portal.ledger()["requests"]:
        if request["method"] == REGISTER:
            found[request["parameters"]["PHONE_NUMBER"]] = str(request["parameters"]["CRM_CREATE"])
        for command in request["parameters"].get("cmd", {}).values() if request["method"] == "batch" else ():
            method, _, query = command.partition("?")
            fields = dict(pair.split("=") for pair in query.split("&") if "=" in pair)
            if method.lower() == REGISTER:
                found[fields["PHONE_NUMBER"].replace("%2B", "+")] = fields["CRM_CREATE"]
    return found


@pytest.mark.parametrize("with_service", [True, False])
def test_a_lead_is_made_for_whom_a_search_does_not_find(unknown_only: RunningService, with_service: bool) -> None:
    unknown_only.portal.world.entities.append(Entity("LEAD", 900, "Old", ["+79162223344"], closed=True))
    if with_service:
        unknown_only.start()
    runs = [
        called(unknown_only, second, callerid=callerid)
        for second, callerid in enumerate(("84951234567", "+79162223344", "+79169998877"))
    ]
    assert [run.variables["BX24_STATUS"] for run in runs] == ["REGISTERED"] * 3, unknown_only.log()
    assert created_with(unknown_only) == {"+74951234567": "0", "+79162223344": "0", "+79169998877": "1"}
    assert runs[2].variables["BX24_CRM_CREATED_LEAD"]


def test_a_line_that_wants_all_of_it_searches_once_and_tells_it(portal: Portal, service: RunningService) -> None:
    line(service, "create: {in: unknown}, client_name: yes, responsible: 15s")
    service.start()
    assert told(called(service)) == ("Anna Petrova", "102", "15")
    assert told(called(service, 1, callerid="+79169998877")) == ("", "", "")
    assert asked(portal).count(SEARCH) == 2
    assert created_with(service) == {"+74951234567": "0", "+79169998877": "1"}


def test_where_the_search_fails_no_client_is_lost(portal: Portal, unknown_only: RunningService) -> None:
    portal.scripted_replies.add(
        "telephony.externalCall.searchCrmEntities",
        Reply(400, {"error": "", "error_description": "CRM is not installed."}),
    )
    unknown_only.start()
    assert called(unknown_only, callerid="+79169998877").variables["BX24_STATUS"] == "REGISTERED"
    assert created_with(unknown_only) == {"+79169998877": "1"}


def test_the_search_before_a_register_counts_in_the_callers_time(portal: Portal, unknown_only: RunningService) -> None:
    unknown_only.write_yaml(portal.webhook_url, wait=0.25)
    line(unknown_only, "create: {in: unknown}")
    unknown_only.start()
    portal.delay_seconds[SEARCH] = 0.4
    run = called(unknown_only)
    assert run.variables["BX24_STATUS"] == "PENDING"
    in_time(run.seconds, 0.38)
    unknown_only.finish("1790000100.77")
    unknown_only.wait_for_calls()
    assert created_with(unknown_only) == {"+74951234567": "0"}


def test_two_calls_of_one_unknown_client_at_once_make_one_lead(portal: Portal, unknown_only: RunningService) -> None:
    portal.switches.lead_mode = False  # a second contact and deal would be made, too
    unknown_only.start()
    portal.delay_seconds.update({REGISTER: 0.1, SEARCH: 0.1})
    with ThreadPoolExecutor(3) as callers:
        runs = list(callers.map(lambda second: called(unknown_only, second, callerid="+79160000077"), range(3)))
    assert [run.variables["BX24_STATUS"] for run in runs] == ["REGISTERED"] * 3
    made = [one for one in portal.ledger()["entities"] if "+79160000077" in one["PHONES"]]
    assert len(made) == 1


def test_calls_of_an_outage_are_searched_for_in_one_batch_before_they_are_registered(
    portal: Portal, unknown_only: RunningService
) -> None:
    unknown_only.start()
    port = int(portal.url.rsplit(":", 1)[1])
    portal.stop()
    callers = ["84951234567", *(f"+7916000000{number}" for number in range(5))]
    for second, callerid in enumerate(callers):
        assert called(unknown_only, second, callerid=callerid).variables["BX24_STATUS"] == "PENDING"
        unknown_only.finish(f"17900001{second:02d}.77")
    with Portal(port=port, webhook_secret=portal.webhook_url.split("/")[-2]) as again:
        unknown_only.portal = again
        unknown_only.wait_for_calls(6, seconds=30)
        assert created_with(unknown_only) == {
            "+74951234567": "0",
            **{f"+7916000000{number}": "1" for number in range(5)},
        }
        requests = [one for one in again.ledger()["requests"] if one["method"] == "batch"]
        searches = [
            sum("search" in command.lower() for command in one["parameters"]["cmd"].values()) for one in requests
        ]
        assert max(searches, default=0) > 1


def test_late_calls_are_told_where_the_search_fails_and_no_client_is_lost(
    portal: Portal, unknown_only: RunningService
) -> None:
    unknown_only.start()
    portal.delay_seconds[REGISTER] = 5.0
    assert called(unknown_only, callerid="+79169998877").variables["BX24_STATUS"] == "PENDING"
    unknown_only.finish("1790000100.77")
    refusal = Reply(400, {"error": "", "error_description": "CRM is not installed."})
    portal.scripted_replies.add("telephony.externalCall.searchCrmEntities", refusal, times=99)
    portal.delay_seconds.clear()
    unknown_only.wait_for_calls()
    assert created_with(unknown_only) == {"+79169998877": "1"}


def test_a_client_bound_by_the_dialplan_is_no_unknown_one(unknown_only: RunningService) -> None:
    unknown_only.start()
    bound = {"BX24_CRM_ENTITY_TYPE": "CONTACT", "BX24_CRM_ENTITY_ID": "42"}
    unknown_only.register(environment={"callerid": "+79169998877"}, variables=bound)
    assert created_with(unknown_only) == {"+79169998877": "0"}
    assert SEARCH not in asked(unknown_only.portal)


# -- a flood of unknown callers -------------------------------------------------------------------------------------


def flood(service: RunningService, callers: list[str]) -> None:
    def one(which: int) -> AgiRun:
        return service.register(f"1790{which:06d}.77", environment={"callerid": callers[which]})

    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(one, range(len(callers))))
    assert {run.variables["BX24_STATUS"] for run in runs} == {"REGISTERED"}


def test_a_flood_of_unknown_callers_makes_thirty_leads_one_warning_and_every_call(
    portal: Portal, service: RunningService
) -> None:
    service.start()
    flood(service, [f"+791600000{which:02d}" for which in range(45)])
    made = [one for one in portal.ledger()["entities"] if any(phone.startswith("+7916000") for phone in one["PHONES"])]
    assert 30 <= len(made) <= 34  # four at once may not know of each other
    assert len(service.calls()) == 45
    assert service.log().count("more than 30 unknown callers") == 1
    rules = [Person(service).asks("why", f"1790{which:06d}.77")["call"]["rule"] for which in (0, 44)]
    assert ["no lead: more than 30 unknown callers within a minute" in rule for rule in rules] == [False, True]
    last = service.register("1790000999.77", environment={"callerid": "+79160001234"})
    assert last.variables["BX24_CRM_CREATED_LEAD"] == ""


def test_a_call_centre_of_known_clients_is_no_flood(portal: Portal, service: RunningService) -> None:
    callers = [f"+791600000{which:02d}" for which in range(45)]
    portal.world.entities += [
        Entity("CONTACT", 1000 + which, f"Client {which}", [caller]) for which, caller in enumerate(callers)
    ]
    service.start()
    flood(service, callers)
    assert set(created_with(service).values()) == {"1"}
    assert "unknown callers" not in service.log()


def test_a_flood_that_is_told_late_makes_thirty_leads_too_and_clients_in_it_keep_theirs(
    portal: Portal, service: RunningService
) -> None:
    service.start()
    port = int(portal.url.rsplit(":", 1)[1])
    portal.stop()
    callers = [f"+791600000{which:02d}" for which in range(40)]
    for which, caller in enumerate(callers):
        service.register(f"1790{which:06d}.77", environment={"callerid": caller})
        service.finish(f"1790{which:06d}.77")
    with Portal(port=port, webhook_secret=portal.webhook_url.split("/")[-2]) as again:
        again.world.entities.append(Entity("CONTACT", 1039, "Client", [callers[39]]))
        service.portal = again
        service.wait_for_calls(40, seconds=40)
        created = created_with(service)
        assert sum(value == "1" for number, value in created.items() if number != callers[39]) == 30
        assert created[callers[39]] == "1"


# -- colleagues' own phones -----------------------------------------------------------------------------------------


def call_a_colleague(service: RunningService) -> AgiRun:
    return service.register(
        arguments=("out", "89160000101"), environment={"callerid": "74957770101"}, variables={"AMPUSER": "103"}
    )


def with_employees(service: RunningService) -> None:
    """Until the list of employees is there, as it is some moments after a start."""
    wait_until(lambda: (service.directory / "state" / "directory.json").exists(), 10, service.log)


def test_a_call_to_a_colleagues_own_phone_is_left_out(service: RunningService) -> None:
    service.start()
    with_employees(service)
    run = call_a_colleague(service)
    assert run.variables["BX24_STATUS"] == "SKIPPED"
    assert run.variables["BX24_REASON"] == "the number belongs to a colleague"
    service.finish(arguments=("out",), environment={"dnid": "89160000101"})
    time.sleep(0.5)
    assert service.calls() == []


def test_a_script_alone_leaves_it_out_too(service: RunningService) -> None:
    service.start()
    with_employees(service)
    service.stop()
    assert call_a_colleague(service).variables["BX24_STATUS"] == "SKIPPED"
    service.finish(arguments=("out",), environment={"dnid": "89160000101"})
    assert REGISTER not in asked(service.portal)


def test_what_a_script_left_behind_of_it_is_left_out_when_it_is_taken_in(service: RunningService) -> None:
    service.start()
    with_employees(service)
    service.signal(signal.SIGSTOP)
    assert call_a_colleague(service).variables["BX24_STATUS"] == "PENDING"
    service.finish(arguments=("out",), environment={"dnid": "89160000101"})
    service.signal(signal.SIGCONT)
    wait_until(lambda: service.log().count("belongs to a colleague") >= 1, 10, service.log)
    service.wait_until_all_is_told()
    assert service.calls() == []
    assert REGISTER not in asked(service.portal)


def test_a_finish_without_a_register_does_not_bring_it_back(service: RunningService) -> None:
    service.start()
    with_employees(service)
    service.finish(arguments=("out",), environment={"dnid": "89160000101", "callerid": "74957770101"})
    wait_until(lambda: "belongs to a colleague" in service.log(), 10, service.log)
    assert service.calls() == []


def test_a_colleague_who_calls_in_is_no_client_call_to_be_left_out(service: RunningService) -> None:
    service.start()
    with_employees(service)
    assert called(service, callerid="+79160000101").variables["BX24_STATUS"] == "REGISTERED"
