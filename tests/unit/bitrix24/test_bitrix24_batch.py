"""A batch's commands are what PHP reads, its answers belong to the right commands, and its size fits into the time."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from freepbx_bx24.bitrix24 import attachment
from freepbx_bx24.bitrix24.batch import MOST, answers, command, method_of
from freepbx_bx24.bitrix24.client import webhook_client
from freepbx_bx24.bitrix24.replies import Result
from freepbx_bx24.bitrix24.sizer import Sizer, seconds_of
from freepbx_bx24.errors import (
    CallNotFound,
    MethodBusy,
    PersonUnknown,
    PortalBroken,
    PortalBusy,
    PortalError,
    PortalRefused,
    UnknownRefusal,
)
from freepbx_bx24.sandbox.portal import Portal
from freepbx_bx24.sandbox.portal.batch import run_batch
from freepbx_bx24.sandbox.portal.errors import RestError

FINISH = "telephony.externalCall.finish"
REGISTER = "telephony.externalCall.register"
COMMANDS = {"one": f"{FINISH}?CALL_ID=1", "two": f"{REGISTER}?TYPE=2"}


def seen_by_the_portal(*written):
    """What the sandbox portal's own reader makes of commands: [(method, parameters)]."""
    seen = []

    def call(method, parameters):
        seen.append((method, parameters))
        return {"CALL_ID": "somebody else's"}, {}

    run_batch({"cmd": {f"c{number}": text for number, text in enumerate(written)}}, call, lambda error: {})
    return seen


# Commands


@pytest.mark.parametrize(
    ("parameters", "written"),
    [
        ({}, "a.b"),
        ({"USER_ID": [1, 20]}, "a.b?USER_ID[0]=1&USER_ID[1]=20"),
        (
            {"FILTER": {">ID": 5, "CALL_ID": ["x", "y"]}},
            "a.b?FILTER[%3EID]=5&FILTER[CALL_ID][0]=x&FILTER[CALL_ID][1]=y",
        ),
        ({"SHOW": True, "CRM_CREATE": False}, "a.b?SHOW=1&CRM_CREATE=0"),
        ({"PHONE_NUMBER": "+7 495"}, "a.b?PHONE_NUMBER=%2B7%20495"),
        (
            {"REASON": "Ответил Ы&A=B;#?"},
            "a.b?REASON=%D0%9E%D1%82%D0%B2%D0%B5%D1%82%D0%B8%D0%BB%20%D0%AB%26A%3DB%3B%23%3F",
        ),
        ({"COST": 1.5, "EMPTY": "", "NOTHING": None, "LIST": []}, "a.b?COST=1.5&EMPTY="),
    ],
)
def test_a_command_is_written_as_php_reads_it(parameters, written):
    assert command("a.b", parameters) == written
    assert method_of(written) == "a.b"


VALUES = st.recursive(
    st.text(max_size=20) | st.integers(-(10**12), 10**12) | st.booleans(),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.text("ABC>=!%_", min_size=1, max_size=6), inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)


def as_sent(value):
    """What a form can carry of a value: texts."""
    if isinstance(value, dict):
        return {key: as_sent(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_sent(inner) for inner in value]
    return str(int(value)) if isinstance(value, bool) else str(value).encode(errors="replace").decode()


@settings(max_examples=200, deadline=None)
@given(parameters=st.dictionaries(st.text("ABCDEF_", min_size=1, max_size=8), VALUES, max_size=4))
def test_the_portal_reads_what_was_meant(parameters):
    assert seen_by_the_portal(command("a.b", parameters)) == [("a.b", as_sent(parameters))]


def test_a_callers_text_takes_nothing_from_another_command():
    hostile = {"FAILED_REASON": "$result[c0][CALL_ID] $RESULT[c0][CALL_ID]", "LIST": ["$result[c0]"]}
    (_, _), (_, read) = seen_by_the_portal(command("a.b", {}), command("a.b", hostile))
    assert "somebody" not in str(read)
    assert read["FAILED_REASON"] == "$ result[c0][CALL_ID] $ RESULT[c0][CALL_ID]"


@pytest.mark.parametrize("method", ["batch", "BATCH", "upload", "download", "", "a b", "a.b?x=1", "a/b", "a.b\n"])
def test_what_the_portal_refuses_inside_of_a_batch_is_not_put_there(method):
    with pytest.raises(ValueError, match="method"):
        command(method, {})


@pytest.mark.parametrize("parameters", [{"FILE_CONTENT": "x"}, {"file_content": "x"}, {"A": [{"FILE_CONTENT": "x"}]}])
def test_the_content_of_a_file_is_nobodys_parameter(parameters):
    with pytest.raises(ValueError, match="file"):
        command("telephony.externalCall.attachRecord", parameters)


@given(st.binary(max_size=500))
@example(bytes(range(256)) * 3)
def test_the_portal_reads_a_recording_within_a_batch_as_it_is(content):
    written = attachment.content_command("externalCall.1", "a_Ж.wav", content)
    ((method, read),) = seen_by_the_portal(written)
    assert method == attachment.METHOD.lower()
    assert base64.b64decode(read.pop("FILE_CONTENT"), validate=True) == content
    assert read == {"CALL_ID": "externalCall.1", "FILENAME": "a_Ж.wav"}


def test_a_record_whose_content_goes_elsewhere_is():
    assert command("telephony.externalCall.attachRecord", {"FILENAME": "a.mp3"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes", {1, 2}])
def test_what_has_no_form_in_a_query_is_refused(value):
    with pytest.raises(ValueError, match="form"):
        command("a.b", {"A": value})


def test_what_is_nested_without_end_is_refused():
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested"):
        command("a.b", {"A": endless})


@pytest.mark.parametrize("name", ["", "A[", "A]B"])
def test_a_name_that_php_would_take_for_several_is_refused(name):
    with pytest.raises(ValueError, match="name"):
        command("a.b", {name: 1})


# Answers


def test_each_command_gets_its_own_part_of_the_answer():
    found = answers(
        COMMANDS,
        {
            "result": {"one": {"CALL_ID": "x"}, "two": [1, 2]},
            "result_error": [],
            "result_total": {"two": 70},
            "result_next": {"two": 50},
            "result_time": {"one": {"operating": 1.5}},
        },
    )
    assert found == {
        "one": Result({"CALL_ID": "x"}, {"operating": 1.5}),
        "two": Result([1, 2], {}, total=70, next=50),
    }


def test_one_commands_error_is_no_others():
    found = answers(
        COMMANDS,
        {
            "result": {"two": None},
            "result_error": {
                "one": {
                    "error": "",
                    "error_description": "Call is not found (call should be registered prior to finishing",
                }
            },
        },
    )
    assert isinstance(found["one"], CallNotFound)
    assert found["two"] == Result(None)


@pytest.mark.parametrize(
    ("code", "description", "kind"),
    [
        ("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", MethodBusy),
        ("operation_time_limit", "", MethodBusy),
        ("QUERY_LIMIT_EXCEEDED", "Too many requests", PortalBusy),
        ("ERROR_CORE", "User is not found or is not active", PersonUnknown),
        ("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded", PortalRefused),
        ("ERROR_SOMETHING_NEW", "", UnknownRefusal),
    ],
)
def test_an_error_inside_has_the_same_class_as_outside(code, description, kind):
    error = answers(COMMANDS, {"result_error": {"one": {"error": code, "error_description": description}}})["one"]
    assert type(error) is kind
    assert not error.ambiguous


@pytest.mark.parametrize("entry", [None, "no", [], {}, {"error": None}, {"error_description": "x"}])
def test_an_error_inside_that_says_nothing_may_have_been_carried_out(entry):
    error = answers(COMMANDS, {"result": {"one": True}, "result_error": {"one": entry}})["one"]
    assert isinstance(error, PortalBroken)


def test_a_command_that_nothing_speaks_of_may_have_been_carried_out():
    found = answers(COMMANDS, {"result": {"one": True}, "result_error": []})
    assert isinstance(found["two"], PortalBroken)
    assert found["two"].ambiguous
    assert REGISTER in found["two"].message


def test_an_empty_map_is_a_list_on_the_wire():
    nothing = {"result": [], "result_error": [], "result_total": [], "result_next": [], "result_time": []}
    assert {type(answer) for answer in answers(COMMANDS, nothing).values()} == {PortalBroken}


def test_a_map_with_the_keys_0_1_2_is_a_list_on_the_wire():
    assert answers({"0": "a.b", "1": "a.b"}, {"result": ["x", "y"]}) == {"0": Result("x"), "1": Result("y")}


def test_a_secret_in_an_error_text_is_blotted_out():
    said = {"result_error": {"one": {"error": "s3cret", "error_description": "for /rest/1/s3cret/"}}}
    error = answers({"one": "a.b"}, said, secrets=["s3cret"])["one"]
    assert "s3cret" not in str(error)
    assert "***" in str(error)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["one", "two", "error", "error_description"]), inner, max_size=3)
    ),
    max_leaves=8,
)
PARTS = st.dictionaries(
    st.sampled_from(["result", "result_error", "result_total", "result_next", "result_time"]), ANYTHING, max_size=5
)


@settings(max_examples=200, deadline=None)
@given(result=ANYTHING | PARTS)
def test_an_answer_of_any_shape_gives_each_command_one_result_or_error(result):
    found = answers(COMMANDS, result)
    assert list(found) == list(COMMANDS)
    for answer in found.values():
        assert isinstance(answer, (Result, PortalError))
        if isinstance(answer, Result):
            assert isinstance(answer.time, dict)
        else:
            assert str(answer).isprintable()


def test_the_sandbox_portals_answer_is_understood():
    def call(method, parameters):
        if method == "bad":
            raise RestError(400, "", "Call is not found (call should be registered prior to finishing")
        return {"ID": parameters.get("ID")}, {"operating": 0.5}

    commands = {"good": command("good", {"ID": 7}), "bad": command("bad", {}), "after": command("good", {})}

    def body(error):
        return {"error": error.code, "error_description": error.description}

    for halt, last in ((0, Result), (1, PortalBroken)):
        found = answers(commands, run_batch({"halt": halt, "cmd": commands}, call, body))
        assert found["good"].result == {"ID": "7"}
        assert found["good"].time["operating"] == 0.5
        assert seconds_of(found["good"].time) >= 0.0
        assert isinstance(found["bad"], CallNotFound)
        assert isinstance(found["after"], last)


def test_a_batch_over_the_wire_registers_finishes_and_refuses_each_on_its_own():
    call = {"USER_ID": 1, "TYPE": 2, "CRM_CREATE": False, "SHOW": False}
    numbers = [f"+7495000000{number}" for number in range(3)]
    commands = {f"c{at}": command(REGISTER, {**call, "PHONE_NUMBER": number}) for at, number in enumerate(numbers)}
    commands["unknown"] = command(FINISH, {"CALL_ID": "none", "USER_ID": 1})
    commands["nobody"] = command(REGISTER, {**call, "USER_ID": 999, "PHONE_NUMBER": "+74950000009"})
    with Portal() as portal, webhook_client(portal.webhook_url) as client:
        found = client.batch(commands, total_seconds=10.0)
        registered = portal.ledger()["calls"]
    assert {found[f"c{at}"].result["CALL_ID"] for at in range(3)} == {row["CALL_ID"] for row in registered}
    assert [row["PHONE_NUMBER"] for row in registered] == numbers
    assert isinstance(found["unknown"], CallNotFound)
    assert isinstance(found["nobody"], PersonUnknown)


# Size


def test_before_anything_was_measured_a_batch_has_as_many_as_0_4_s_each_allow():
    assert Sizer().fits([FINISH] * 100) == 37
    assert Sizer().fits([FINISH] * 3) == 3
    assert Sizer().fits([]) == 0


@pytest.mark.parametrize(("seconds", "size"), [(0.01, MOST), (1.0, 15), (5.0, 3), (40.0, 1)])
def test_the_size_follows_what_commands_take(seconds, size):
    sizer = Sizer()
    for _ in range(30):
        sizer.answered([FINISH] * 2, [{"duration": seconds}] * 2, seconds * 2)
    assert sizer.fits([FINISH] * 100) == pytest.approx(size, abs=1)


def test_each_method_has_its_own_measure():
    sizer = Sizer()
    for _ in range(30):
        sizer.answered([FINISH, REGISTER], [{"duration": 5.0}, {"start": 10, "finish": 10.1}], 5.1)
    assert sizer.fits([REGISTER] * 100) == MOST
    assert sizer.fits([REGISTER, FINISH, REGISTER, FINISH, FINISH, REGISTER]) == 4


def test_what_the_whole_request_took_beyond_its_commands_is_theirs_too():
    sizer = Sizer()
    for _ in range(30):
        sizer.answered([FINISH] * 10, [{"duration": 0.1}] * 10, 10.0)
    assert sizer.fits([FINISH] * 100) == pytest.approx(15, abs=1)


def test_without_a_word_on_the_commands_the_whole_is_shared_out():
    sizer = Sizer()
    for _ in range(30):
        sizer.answered([FINISH] * 10, [{}] * 10, 20.0)
    assert sizer.fits([FINISH] * 100) == pytest.approx(7, abs=1)


def test_a_batch_that_timed_out_halves_its_methods_share_down_to_one():
    sizer = Sizer()
    sizes = []
    for _ in range(8):
        sizes.append(sizer.fits([FINISH] * 100))
        sizer.timed_out([FINISH] * sizes[-1])
    assert sizes == [37, 18, 9, 4, 2, 1, 1, 1]
    assert sizer.fits([REGISTER] * 100) == 37


def test_and_answers_give_it_back():
    sizer = Sizer()
    sizer.timed_out([FINISH] * 10)
    for expected in (5, 6, 7):
        assert sizer.fits([FINISH] * 100) == expected
        sizer.answered([FINISH], [{"duration": 0.1}], 0.1)


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.lists(st.sampled_from("ab"), max_size=60), ANYTHING, st.floats(0.0, 1e4)),
        max_size=20,
    ),
    asked=st.lists(st.sampled_from("abc"), min_size=1, max_size=120),
)
def test_there_is_always_something_to_send_and_never_too_much(steps, asked):
    sizer = Sizer()
    for timed_out, methods, hostile, whole in steps:
        if timed_out:
            sizer.timed_out(methods)
        else:
            sizer.answered(methods, [{"duration": hostile, "finish": hostile}] * len(methods), whole)
    assert 1 <= sizer.fits(asked) <= min(MOST, len(asked))
