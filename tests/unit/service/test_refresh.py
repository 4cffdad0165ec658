"""The list of employees is kept fresh beside everything else: nobody waits for it, and it outlives a restart."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from freepbx_bx24.bitrix24.directory import LONGEST_TEXT
from freepbx_bx24.call import Person
from freepbx_bx24.sandbox.portal import Portal, Reply
from freepbx_bx24.sandbox.portal.world import Employee, World
from freepbx_bx24.service import directory_file
from freepbx_bx24.service.refresh import EVERY_SECONDS, pause_seconds
from tests.support.in_time import in_time
from tests.support.running_service import RunningService, wait_until

USERS = "user.get"
LINES = "telephony.externalline.get"
ADD_LINE = "telephony.externalline.add"
ANSWERED = {"DIALSTATUS": "ANSWER", "ANSWEREDTIME": "35"}


def state(service: RunningService) -> Path:
    return service.directory / "state"


def kept(service: RunningService) -> dict[str, object]:
    path = state(service) / directory_file.NAME
    found: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    return found


def readings(portal: Portal, method: str = USERS) -> int:
    return sum(row["method"].lower() == method for row in portal.ledger()["requests"])


def ask(portal: Portal, method: str, **parameters: str) -> None:
    """Do something on the portal as somebody else would."""
    request = urllib.request.Request(
        portal.webhook_url + method, json.dumps(parameters).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def extensions(service: RunningService) -> dict[str, str]:
    found = kept(service).get("extensions", {})
    assert isinstance(found, dict)
    return found


# -- in the service ------------------------------------------------------------------------------------------------


def test_at_start_employees_and_lines_are_read_and_kept_for_its_own_user_and_group_alone(
    portal: Portal, service: RunningService
) -> None:
    next(one for one in portal.world.employees if one.user_id == 1102).personal_phone = "8 (916) 000-02-02"
    service.start()
    wait_until(lambda: extensions(service).get("1101") == "101", 10, service.log)
    path = state(service) / directory_file.NAME
    assert path.stat().st_mode & 0o777 == 0o640
    assert kept(service)["version"] == 2
    assert kept(service)["phones"] == {"+79160000101": 1101, "+79160000202": 1102}
    assert not (state(service) / ("." + directory_file.NAME)).exists()
    assert "99 people, 98 extensions" in service.log()
    assert readings(portal, LINES) == 1


def test_a_list_that_hangs_holds_up_no_caller_and_no_delivery(portal: Portal, service: RunningService) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    with portal.gate(USERS) as gate:
        service.start()
        gate.wait_for_arrival()
        portal.scripted_replies.add("telephony.externalcall.register", Reply(502, b"<html>"))
        run = service.register()
        assert run.variables["BX24_STATUS"] == "PENDING"
        service.finish(variables=ANSWERED)
        (call,) = service.wait_for_calls()
        assert call["CALL_DURATION"] == 35
        assert gate.arrived == 1


def test_a_stop_does_not_wait_for_a_list_that_hangs(portal: Portal, service: RunningService) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    with portal.gate(USERS) as gate:
        service.start()
        gate.wait_for_arrival()
        began = time.monotonic()
        assert service.stop() == 0
        in_time(time.monotonic() - began, 3)
    assert "Traceback" not in service.log()


def test_who_comes_later_is_found_at_the_next_reading_without_a_name_in_the_log(
    portal: Portal, service: RunningService
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "0.001"
    service.start()
    wait_until(lambda: bool(extensions(service)), 10, service.log)
    portal.world.employees.append(Employee(2001, "Zinaida", "Zimina", extension="301"))
    wait_until(lambda: extensions(service).get("2001") == "301", 10, service.log)
    assert "new extensions: 301" in service.log()
    assert "Zinaida" not in service.log()
    reads = readings(portal)
    wait_until(lambda: readings(portal) >= reads + 6, 20, service.log)
    assert service.log().count("the portal's employees") == 2  # what does not change is not said


def test_a_file_that_holds_the_same_already_is_not_written_again(portal: Portal, service: RunningService) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "0.001"
    service.start()
    wait_until(lambda: bool(extensions(service)) and readings(portal, LINES) >= 1, 10, service.log)
    before = (state(service) / directory_file.NAME).stat().st_ino
    reads = readings(portal)
    wait_until(lambda: readings(portal) >= reads + 4, 20, service.log)
    assert (state(service) / directory_file.NAME).stat().st_ino == before


def test_a_reload_reads_the_lists_at_once(portal: Portal, service: RunningService) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    service.start()
    wait_until(lambda: readings(portal, LINES) == 1, 10, service.log)
    portal.world.employees.append(Employee(2001, "New", extension="301"))
    service.signal(signal.SIGHUP)
    wait_until(lambda: extensions(service).get("2001") == "301", 5, service.log)


def test_a_failure_is_said_once_keeps_what_is_known_and_is_made_good_soon(
    portal: Portal, service: RunningService
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "0.02"  # 5 s are 0.1 s, 300 s are 6 s
    service.start()
    wait_until(lambda: readings(portal, LINES) == 1 and bool(extensions(service)), 10, service.log)
    before = extensions(service)
    portal.world.employees.append(Employee(2001, "New", extension="301"))
    portal.scripted_replies.add(USERS, Reply(502, b"<html>Bad gateway</html>"), times=3)
    service.signal(signal.SIGHUP)
    wait_until(lambda: "the list of employees can't be read" in service.log(), 5, service.log)
    assert extensions(service) == before
    wait_until(lambda: extensions(service).get("2001") == "301", 4, service.log)
    assert service.log().count("WARNING bx24.directory the list of employees can't be read") == 1
    assert "INFO bx24.directory no longer true: the list of employees can't be read" in service.log()


def test_a_list_of_half_the_people_takes_nobody_away_until_it_is_confirmed(
    portal: Portal, service: RunningService
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "0.02"
    service.start()
    wait_until(lambda: readings(portal, LINES) == 1 and bool(extensions(service)), 10, service.log)
    rows = [{"ID": "1102", "ACTIVE": True, "UF_PHONE_INNER": "102"}]
    portal.scripted_replies.add(USERS, Reply(200, {"result": rows, "total": 1}))
    service.signal(signal.SIGHUP)
    wait_until(lambda: "shrank from 99 people" in service.log(), 5, service.log)
    assert extensions(service)["1101"] == "101"
    wait_until(lambda: "no longer true: the list of employees" in service.log(), 5, service.log)
    assert len(extensions(service)) == 99
    portal.world.employees = portal.world.employees[:10]
    service.signal(signal.SIGHUP)
    wait_until(lambda: len(extensions(service)) == 10, 5, service.log)


def test_lines_that_can_not_be_read_keep_no_employee_back(portal: Portal, service: RunningService) -> None:
    portal.scripted_replies.add(LINES, Reply(403, {"error": "WRONG_AUTH_TYPE", "error_description": "no"}), times=1000)
    service.start()
    wait_until(lambda: "the list of lines can't be read" in service.log(), 10, service.log)
    wait_until(lambda: extensions(service).get("1101") == "101", 5, service.log)


# -- lines of the configuration ------------------------------------------------------------------------------------


def lines_of_the_portal(portal: Portal) -> list[tuple[str, str | None, str]]:
    return [(line["NUMBER"], line["NAME"], line["CRM_AUTO_CREATE"]) for line in portal.ledger()["lines"]]


def write_lines(service: RunningService, lines: str) -> None:
    text = service.yaml.read_text()
    service.yaml.write_text(text[: text.index("lines:")] + f"lines:\n{lines}")


def asked_for(portal: Portal) -> list[str]:
    """The number of each line that the portal was asked to make, in order, whatever it answered."""
    rows = [row for row in portal.ledger()["requests"] if row["method"].lower() == "batch"]
    commands = [command for row in rows for command in row["parameters"]["cmd"].values()]
    queries = [command.partition("?")[2] for command in commands if command.lower().startswith(ADD_LINE)]
    return [parse_qs(query)["NUMBER"][0] for query in queries]


def test_lines_that_the_portal_does_not_have_are_made_once_with_their_names_and_what_becomes_of_the_others(
    portal: Portal, service: RunningService
) -> None:
    ask(portal, "telephony.externalLine.add", NUMBER="770002", NAME="Mine", CRM_AUTO_CREATE="N")
    write_lines(
        service,
        '  "+74957770101": {name: "Sales & \'Co\' #1"}\n  "770002": {name: Ours}\n'
        '  "770003": {create: {in: never}}\n  "770004": {create: {in: unknown}}\n',
    )
    service.environment["BX24_TEST_TIME_SCALE"] = "0.001"
    service.start()
    wait_until(lambda: readings(portal, LINES) >= 5, 20, service.log)
    assert lines_of_the_portal(portal) == [
        ("770002", "Mine", "N"),  # nothing of it is changed
        ("+74957770101", "Sales & 'Co' #1", "Y"),
        ("770003", None, "N"),
        ("770004", None, "Y"),
    ]
    assert asked_for(portal) == ["+74957770101", "770003", "770004"]
    assert service.log().count("lines of the configuration that the portal has now: +74957770101, 770003, 770004") == 1
    found = kept(service)["lines"]
    assert isinstance(found, dict) and set(found) == {"770002", "+74957770101", "770003", "770004"}


def test_a_line_that_somebody_deletes_on_the_portal_stays_deleted_until_a_reload(
    portal: Portal, service: RunningService
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "0.001"
    service.start()
    wait_until(lambda: bool(lines_of_the_portal(portal)), 10, service.log)
    ask(portal, "telephony.externalLine.delete", NUMBER="+74957770101")
    before = readings(portal, LINES)
    wait_until(lambda: readings(portal, LINES) >= before + 4, 20, service.log)
    assert lines_of_the_portal(portal) == []
    service.signal(signal.SIGHUP)
    wait_until(lambda: lines_of_the_portal(portal) == [("+74957770101", "Sales", "Y")], 10, service.log)


def test_a_line_that_another_has_made_meanwhile_is_made(portal: Portal, service: RunningService) -> None:
    ask(portal, "telephony.externalLine.add", NUMBER="+74957770101", NAME="First")
    portal.scripted_replies.add(LINES, Reply(200, {"result": []}))
    service.environment["BX24_TEST_TIME_SCALE"] = "0.001"
    service.start()
    wait_until(lambda: asked_for(portal) == ["+74957770101"], 10, service.log)
    wait_until(lambda: readings(portal, LINES) >= 2, 10, service.log)
    assert lines_of_the_portal(portal) == [("+74957770101", "First", "Y")]
    assert "WARNING bx24.directory" not in service.log()


@pytest.mark.parametrize(
    ("error", "description", "said"),
    [
        ("", "DB error", "DB error"),
        ("insufficient_scope", "The request requires higher privileges", "insufficient_scope"),
        ("WRONG_AUTH_TYPE", "Application context required", "WRONG_AUTH_TYPE"),
        ("", "Nummer gefällt mir nicht", "Nummer gefällt mir nicht"),
    ],
)
def test_a_refused_line_is_said_once_and_asked_for_again_only_after_a_reload(
    portal: Portal, service: RunningService, error: str, description: str, said: str
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "0.001"
    write_lines(service, "".join(f'  "77{number:04}": {{}}\n' for number in range(60)))  # more than a batch holds
    reply = Reply(400, {"error": error, "error_description": description})
    portal.scripted_replies.add(ADD_LINE, reply, times=60)
    service.start()
    wait_until(lambda: readings(portal, LINES) >= 5, 20, service.log)
    assert asked_for(portal) == [f"77{number:04}" for number in range(60)]
    refused = [line for line in service.log().splitlines() if "the portal does not make the lines" in line]
    assert len(refused) == 1 and said in refused[0]
    assert "lines 770000, 770001, " in refused[0] and "770009, ...: " in refused[0] and "770010" not in refused[0]
    assert lines_of_the_portal(portal) == []
    service.signal(signal.SIGHUP)
    wait_until(lambda: len(lines_of_the_portal(portal)) == 60, 10, service.log)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(502, b"<html>Bad gateway</html>"),
        Reply(503, {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"}),
        Reply(401, {"error": "ACCESS_DENIED", "error_description": "REST is available only on commercial plans"}),
    ],
    ids=["a gateway", "too many", "the plan"],
)
def test_what_keeps_the_portal_from_everything_is_said_once_and_tried_again_by_itself(
    portal: Portal, service: RunningService, reply: Reply
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "0.01"
    portal.scripted_replies.add("batch", reply, times=3)
    service.start()
    wait_until(lambda: lines_of_the_portal(portal) == [("+74957770101", "Sales", "Y")], 20, service.log)
    wait_until(lambda: "no longer true: lines can't be made on the portal now" in service.log(), 5, service.log)
    assert service.log().count("WARNING bx24.directory lines can't be made on the portal now") == 1


def test_a_portal_that_hangs_over_a_line_holds_up_no_caller(portal: Portal, service: RunningService) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "1"
    with portal.gate("batch") as gate:
        service.start()
        gate.wait_for_arrival()
        assert service.register().variables["BX24_STATUS"] == "REGISTERED"
    # The call has made the line by itself, nameless: that is what is there, and it is not renamed.
    wait_until(lambda: "lines of the configuration that the portal has now" in service.log(), 10, service.log)
    assert lines_of_the_portal(portal) == [("+74957770101", None, "Y")]


# -- another portal, and no portal ----------------------------------------------------------------------------------


def test_a_start_while_the_portal_is_down_knows_who_is_who_and_so_does_a_script_alone(
    portal: Portal, service: RunningService
) -> None:
    service.start()
    wait_until(lambda: bool(extensions(service)), 10, service.log)
    service.stop()
    # What the portal would say of the internal number itself: nobody. Only the kept list leads to 1102.
    next(one for one in portal.world.employees if one.user_id == 1102).extension = None
    portal.scripted_replies.add(USERS, Reply(502, b"<html>"), times=1000)
    assert service.register("1790000100.1").variables["BX24_STATUS"] == "REGISTERED"
    assert not service.answers()
    service.start()
    assert service.register("1790000100.2").variables["BX24_STATUS"] == "REGISTERED"
    assert [call["registered_by"] for call in service.calls()] == [1102, 1102]


@pytest.mark.parametrize("alone", [False, True], ids=["the service", "a script alone"])
def test_a_new_portal_is_never_told_the_ids_of_the_old_one_also_while_its_list_can_not_be_read(
    service: RunningService, alone: bool
) -> None:
    service.start()
    wait_until(lambda: bool(extensions(service)), 10, service.log)
    world = World(
        employees=[
            Employee(1, "Admin"),
            Employee(1102, "Somebody else", extension="777"),
            Employee(5, "Right", extension="102"),
        ]
    )
    with Portal(world) as other:
        other.scripted_replies.add(USERS, Reply(401, {"error": "insufficient_scope"}), times=1000)
        service.write_yaml(other.webhook_url)
        if alone:
            service.stop()
        else:
            service.signal(signal.SIGHUP)
            wait_until(lambda: "read again" in service.log(), 5, service.log)
        assert service.register().variables["BX24_STATUS"] == "REGISTERED"
        assert [call["registered_by"] for call in other.ledger()["calls"]] == [5]


def test_a_state_folder_that_can_not_be_written_is_said_once_and_costs_nothing_else(
    portal: Portal, service: RunningService
) -> None:
    service.environment["BX24_TEST_TIME_SCALE"] = "0.001"
    (state(service) / ("." + directory_file.NAME)).mkdir()  # root may write everywhere, but not over a folder
    service.start()
    wait_until(lambda: readings(portal, LINES) >= 3, 20, service.log)
    assert service.log().count("can't be kept on disk") == 1
    assert service.register().variables["BX24_STATUS"] == "REGISTERED"


@pytest.mark.parametrize(
    "failures, least, most",
    [(0, 225, 375), (1, 3.75, 6.25), (2, 7.5, 12.5), (3, 15, 25), (7, 225, 375), (500, 225, 375)],
)
def test_the_pause_doubles_from_five_seconds_to_five_minutes(failures: int, least: float, most: float) -> None:
    assert (pause_seconds(failures, 0.75), pause_seconds(failures, 1.25)) == (least, most)
    assert pause_seconds(0, 1) == EVERY_SECONDS


# -- the file itself -----------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole_whatever_an_interrupted_write_left(tmp_path: Path) -> None:
    hidden = tmp_path / ("." + directory_file.NAME)
    hidden.write_text("x" * 1000)
    hidden.chmod(0o666)
    directory_file.write(tmp_path, '{"version": 2, "extensions": {"5": "101"}}')
    assert directory_file.read(tmp_path).user_id(Person("101")) == 5
    assert (tmp_path / directory_file.NAME).stat().st_mode & 0o777 == 0o640
    assert not hidden.exists()


def test_a_link_where_the_new_file_is_written_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / ("." + directory_file.NAME)).symlink_to(precious)
    with pytest.raises(OSError):
        directory_file.write(tmp_path, "{}")
    assert precious.read_text() == "precious"


def test_whoever_reads_while_it_is_replaced_sees_a_whole_one(tmp_path: Path) -> None:
    texts = [
        json.dumps({"version": 2, "extensions": {**{str(one): str(one) for one in range(1, 2000)}, "5000": inner}})
        for inner in ("101", "102")
    ]
    directory_file.write(tmp_path, texts[0])
    seen, stop = set(), threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.add(directory_file.read(tmp_path).extension(5000))

    reader = threading.Thread(target=look)
    reader.start()
    for turn in range(100):
        directory_file.write(tmp_path, texts[turn % 2])
    stop.set()
    reader.join()
    assert seen <= {"101", "102"}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"[]", b" " * (LONGEST_TEXT + 1)], ids=range(5))
def test_a_file_that_is_none_of_ours_is_an_empty_directory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / directory_file.NAME).write_bytes(content)
    assert not directory_file.read(tmp_path).loaded


def test_what_is_no_file_is_an_empty_directory_at_once(tmp_path: Path) -> None:
    assert not directory_file.read(tmp_path).loaded
    os.mkfifo(tmp_path / directory_file.NAME)
    assert not directory_file.read(tmp_path).loaded
    (tmp_path / directory_file.NAME).unlink()
    (tmp_path / directory_file.NAME).mkdir()
    assert not directory_file.read(tmp_path).loaded
