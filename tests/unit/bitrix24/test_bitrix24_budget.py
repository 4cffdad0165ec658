"""Nobody sends more than the portal takes, the urgent go first, and nothing that happens to the file stops a call."""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from freepbx_bx24.bitrix24 import operating, shared_file
from freepbx_bx24.bitrix24.budget import PLANS, Budget, Plan, Urgency, boot_clock
from freepbx_bx24.bitrix24.state_text import from_text
from freepbx_bx24.errors import (
    METHOD,
    PORTAL,
    CallNotFound,
    MethodBusy,
    PortalBlocked,
    PortalBusy,
    PortalTimeout,
    PortalWaits,
)
from freepbx_bx24.sandbox.portal.bucket import Buckets
from freepbx_bx24.sandbox.portal.operating import OperatingTime
from tests.support.in_time import in_time

REGISTER, CARD, FINISH, ATTACH, BACKLOG, EVENTS = Urgency
ORDINARY = PLANS["ordinary"]
TOO_MANY = PortalBusy("QUERY_LIMIT_EXCEEDED", "Too many requests", 503)
OPERATION_TIME = MethodBusy("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", 429)
METHOD_NAME = "telephony.externalCall.finish"
LONG_AGO = 1000.0


class World:
    """A clock that stands still unless somebody waits for it."""

    def __init__(self, now=50_000.0):
        self.now = now

    def clock(self):
        return self.now

    def nap(self, event, seconds):
        self.now += seconds

    def budget(self, place=None, plan=ORDINARY, jitter=0.5):
        return Budget(place, plan, self.clock, self.nap, lambda: jitter)

    def quiet_budget(self, place=None, plan=ORDINARY):
        """One whose bucket has run empty."""
        budget = self.budget(place, plan)
        admitted(budget)
        budget.answered([METHOD_NAME])
        self.now += LONG_AGO
        return budget


def admitted(budget, urgency=REGISTER, wait=0.0, methods=(METHOD_NAME,)):
    try:
        budget.admit(methods, urgency, wait)
    except PortalWaits:
        return False
    return True


def refusal(budget, urgency=REGISTER, wait=0.0, methods=(METHOD_NAME,)):
    with pytest.raises(PortalWaits) as caught:
        budget.admit(methods, urgency, wait)
    return caught.value


def burst(budget, urgency):
    """How many go at once."""
    return sum(1 for _ in itertools.takewhile(bool, (admitted(budget, urgency) for _ in range(1000))))


def most_in_excess(times, drain):
    """The highest level that a bucket with this drain reaches."""
    level = highest = 0.0
    before = times[0] if times else 0.0
    for moment in times:
        level = max(0.0, level - drain * (moment - before)) + 1.0
        before, highest = moment, max(highest, level)
    return highest


@pytest.fixture
def world():
    return World()


# The bucket


@pytest.mark.parametrize(
    ("plan", "marks"), [("ordinary", [40, 34, 30, 24, 20, 16]), ("enterprise", [200, 170, 150, 120, 100, 80])]
)
def test_each_class_of_urgency_fills_the_bucket_to_its_own_mark(world, plan, marks):
    for urgency, mark in zip(Urgency, marks):
        assert burst(world.quiet_budget(plan=PLANS[plan]), urgency) == mark


def test_what_a_backlog_leaves_is_kept_for_those_more_urgent(world):
    budget = world.quiet_budget()
    assert [burst(budget, urgency) for urgency in reversed(Urgency)] == [16, 4, 4, 6, 4, 6]


def test_a_portal_of_ones_own_has_no_limit(world):
    assert burst(world.budget(plan=PLANS["self-hosted"]), BACKLOG) == 1000


def test_a_request_waits_until_there_is_room(world):
    budget = world.quiet_budget()
    burst(budget, REGISTER)
    began = world.now
    assert admitted(budget, REGISTER, wait=1.0)
    assert world.now - began == pytest.approx(0.5, abs=0.01)


def test_where_no_room_can_come_in_time_it_is_said_at_once_and_when_it_comes(world):
    budget = world.quiet_budget()
    burst(budget, REGISTER)
    began = world.now
    error = refusal(budget, ATTACH, wait=8.0)
    assert world.now == began
    assert (error.blame, error.ambiguous, error.method) == (PORTAL, False, "")
    assert error.pause_seconds == pytest.approx(8.5)


class Requests:
    """Hypothesis's: pauses, urgencies, patience, how long the net holds each request back."""

    some = st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.3, 2.0, 30.0]),
            st.sampled_from(list(Urgency)),
            st.sampled_from([0.0, 0.0, 0.2, 6.0]),
            st.floats(0.0, 5.0),
        ),
        max_size=300,
    )


@settings(max_examples=60, deadline=None)
@given(requests=Requests.some)
@example(requests=[(0.0, REGISTER, 0.2, 5.0)] * 90 + [(0.0, REGISTER, 6.0, 0.0)] * 20)
@example(requests=[(0.0, BACKLOG, 6.0, 0.0)] * 90)
def test_no_interleaving_exceeds_drain_and_mark_nor_what_the_portal_takes(requests):
    world = World()
    budget = world.quiet_budget()
    level, before = 0.0, world.now
    arrivals, backlog = [], []
    for pause, urgency, wait, delay in requests:
        world.now += pause
        if not admitted(budget, urgency, wait):
            continue
        level = max(0.0, level - 2.0 * (world.now - before)) + 1.0
        before = world.now
        assert level <= ORDINARY.mark(urgency) + 1e-6
        arrivals.append(world.now + delay)
        if urgency is BACKLOG:
            backlog.append(world.now)
    portal = Buckets()
    assert all(portal.accept("our address", "ordinary", moment) for moment in sorted(arrivals))
    assert most_in_excess(backlog, drain=1.0) <= 20 + 1e-6


@settings(max_examples=30, deadline=None)
@given(jumps=st.lists(st.sampled_from([-5000.0, -1.5, 0.0, 0.5, 10.0]), max_size=60))
def test_a_clock_that_jumps_lets_nobody_exceed_what_the_portal_takes(jumps, tmp_path_factory):
    world = World()
    place = tmp_path_factory.mktemp("clock") / "budget"
    real = 0.0
    sent = []
    for jump in jumps:
        world.now = max(0.0, world.now + jump)
        # A clock of a boot never goes back: after a reboot no less time has passed than it shows.
        real += world.now if jump < 0 else jump
        sent += [real] * burst(world.budget(place), REGISTER)
    assert most_in_excess(sent, drain=2.0) <= 40 + 1e-6


def hour(world, budget, finishes_every):
    """(backlog's requests, finishes) of an hour in which a backlog asks all the time."""
    late = finishes = 0
    for tick in range(36_000):
        late += admitted(budget, BACKLOG)
        if tick % finishes_every == 0:
            finishes += admitted(budget, FINISH)
        world.now += 0.1
    return late, finishes


def test_in_the_long_run_a_backlog_takes_half_also_where_nobody_else_wants_any(world):
    late, _ = hour(world, world.quiet_budget(), finishes_every=36_000)
    assert 3600 <= late <= 3620


def test_a_backlog_takes_what_the_calls_of_now_leave(world):
    late, finishes = hour(world, world.quiet_budget(), finishes_every=7)
    assert finishes == pytest.approx(36_000 / 7, abs=1)
    assert late == pytest.approx(7200 - 36_000 / 7, abs=40)


def test_whoever_does_not_know_what_was_sent_before_stays_below_the_portals_limit(world):
    assert 40 + burst(world.budget(), REGISTER) <= ORDINARY.limit
    assert 200 + burst(world.budget(plan=PLANS["enterprise"]), REGISTER) <= PLANS["enterprise"].limit


def test_waiters_of_a_process_go_in_order_of_urgency_and_then_of_arrival():
    world = World()
    budget = Budget(None, ORDINARY, world.clock, lambda event, seconds: event.wait(0.001))
    world.now += LONG_AGO
    burst(budget, REGISTER)
    went = []

    def wait_for(name, urgency):
        budget.admit([METHOD_NAME], urgency, 1000.0)
        went.append(name)

    arrivals = [("late", BACKLOG), ("finish", FINISH), ("first", REGISTER), ("card", CARD), ("second", REGISTER)]
    threads = []
    for number, arrival in enumerate(arrivals, 1):
        threads.append(threading.Thread(target=wait_for, args=arrival, daemon=True))
        threads[-1].start()
        until(lambda number=number: len(budget._waiters) == number)
    for number in range(1, len(arrivals) + 1):
        while len(went) < number:
            world.now += 0.25
            time.sleep(0.005)
    assert went == ["first", "second", "card", "finish", "late"]


def until(condition, seconds=5.0):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.001)


class Crowd:
    """Registers that ask for every place there is, and others that wait among them; a real budget, its clock ours."""

    def __init__(self, registers=4, others=()):
        self.world = World()
        self.budget = Budget(None, ORDINARY, self.world.clock, lambda event, seconds: event.wait(0.001))
        self.world.now += LONG_AGO
        burst(self.budget, REGISTER)
        self.went = []
        self.over = threading.Event()
        asking = [REGISTER] * registers + list(others)
        self.threads = [threading.Thread(target=self._ask, args=(urgency,), daemon=True) for urgency in asking]

    def _ask(self, urgency):
        while not self.over.is_set():
            if admitted(self.budget, urgency, wait=1000.0):
                self.went.append((urgency, self.world.now))

    def run(self, seconds):
        began = self.world.now
        for thread in self.threads:
            thread.start()
        while self.world.now < began + seconds:
            until(lambda: len(self.budget._waiters) == len(self.threads))
            self.world.now += 0.25
            time.sleep(0.004)
        self.over.set()
        self.world.now += LONG_AGO
        for thread in self.threads:
            thread.join(5.0)
        return [urgency for urgency, at in self.went if at < began + seconds]


def test_a_finish_finds_its_place_also_where_registers_keep_the_bucket_full():
    went = Crowd(others=[FINISH]).run(60.0)
    assert 11 <= went.count(FINISH) <= 14, "one place of nine"
    assert len(went) == pytest.approx(120, abs=4), "and no place is lost"


def test_a_card_goes_before_a_finish_and_a_backlog_has_no_such_right():
    went = Crowd(others=[CARD, FINISH, BACKLOG]).run(40.0)
    assert went.count(CARD) >= 7
    assert BACKLOG not in went


def test_a_finish_whose_method_pauses_keeps_no_place_from_a_register():
    crowd = Crowd()
    crowd.budget.refused(["paused"], OPERATION_TIME)
    waits = threading.Thread(target=admitted, args=(crowd.budget, FINISH, 30.0, ["paused"]), daemon=True)
    waits.start()
    went = crowd.run(20.0)
    assert len(went) == pytest.approx(40, abs=2)
    waits.join(5.0)


def test_where_nobody_waits_behind_them_registers_take_every_place():
    assert len(Crowd().run(20.0)) == pytest.approx(40, abs=2)


def test_it_tells_whether_the_bucket_is_half_full(world):
    budget = world.quiet_budget()
    assert [(admitted(budget), budget.half_full)[1] for _ in range(20)] == [False] * 19 + [True]
    world.now += 0.5
    assert not budget.half_full
    assert not world.budget(plan=PLANS["self-hosted"]).half_full


def test_requests_are_the_scarcer_the_fuller_the_bucket_is_from_half_full_to_where_no_recording_finds_room(world):
    budget = world.quiet_budget()
    scarcity = [(admitted(budget), budget.scarcity)[1] for _ in range(30)]
    assert scarcity == pytest.approx([0.0] * 20 + [0.25, 0.5, 0.75] + [1.0] * 7)
    assert [urgency for urgency in Urgency if budget.has_room(urgency)] == [REGISTER, Urgency.CARD]
    assert budget.limited
    hosted = world.budget(plan=PLANS["self-hosted"])
    assert [(admitted(hosted), hosted.scarcity)[1] for _ in range(30)] == [0.0] * 30
    assert all(map(hosted.has_room, Urgency))
    assert not hosted.limited


def test_a_waiter_that_left_takes_nobodys_place(world):
    budget = world.quiet_budget()
    burst(budget, REGISTER)
    refusal(budget, REGISTER, wait=0.1)
    world.now += 0.5
    assert burst(budget, REGISTER) == 1


def test_a_waiter_whose_thread_was_ended_takes_nobodys_place(world):
    budget = world.quiet_budget()
    burst(budget, REGISTER)

    def interrupted(event, seconds):
        raise KeyboardInterrupt

    budget._nap = interrupted
    with pytest.raises(KeyboardInterrupt):
        budget.admit([METHOD_NAME], REGISTER, 5.0)
    world.now += 0.5
    assert burst(budget, REGISTER) == 1


# The portal has too much


def test_after_a_refusal_one_register_tries_first_and_all_others_wait(world):
    budget = world.budget(plan=PLANS["self-hosted"])  # no bucket: the back-off alone
    assert admitted(budget)
    budget.refused([METHOD_NAME], TOO_MANY)
    world.now += 0.49
    assert not admitted(budget)
    world.now += 0.02
    assert not admitted(budget, CARD)
    assert admitted(budget)
    assert not admitted(budget), "one alone tries before the others"
    world.now += 0.48
    assert not admitted(budget)
    world.now += 0.02
    assert admitted(budget, BACKLOG)


def test_the_bucket_counts_as_full_since_others_share_our_address(world):
    budget = world.quiet_budget()
    assert admitted(budget)
    budget.refused([METHOD_NAME], TOO_MANY)
    world.now += 5.0
    assert burst(budget, REGISTER) == 10


@pytest.mark.parametrize(("jitter", "factor"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
def test_each_refusal_in_a_row_doubles_the_back_off_up_to_a_minute(world, jitter, factor):
    budget = world.budget(jitter=jitter)
    for expected in (1, 2, 4, 8, 16, 32, 60, 60):
        assert admitted(budget, wait=100.0)
        budget.refused([METHOD_NAME], TOO_MANY)
        pause = refusal(budget, CARD).pause_seconds
        assert pause == pytest.approx(max(expected * factor, 1.0, 3.5), rel=0.01)


def test_an_answer_ends_the_back_off(world):
    budget = world.quiet_budget()
    for _ in range(5):
        assert admitted(budget, wait=100.0)
        budget.refused([METHOD_NAME], TOO_MANY)
    assert admitted(budget, wait=100.0)
    budget.answered([METHOD_NAME])
    world.now += 4.0
    assert admitted(budget, CARD)


def test_an_error_that_speaks_of_something_else_is_an_answer_too(world):
    budget = world.quiet_budget()
    assert admitted(budget)
    budget.refused([METHOD_NAME], TOO_MANY)
    assert admitted(budget, wait=10.0)
    budget.refused([METHOD_NAME], CallNotFound("", "Call is not found", 400))
    assert admitted(budget, CARD, wait=3.6)


def test_no_answer_says_nothing_of_the_limits(world):
    budget = world.quiet_budget()
    assert admitted(budget)
    budget.refused([METHOD_NAME], PortalTimeout("no answer"))
    assert burst(budget, REGISTER) == 39


def test_the_requests_of_one_burst_are_one_refusal_and_their_answers_do_not_end_it(world):
    budget = world.budget(plan=PLANS["self-hosted"])
    for _ in range(6):
        assert admitted(budget)
    world.now += 0.1
    for _ in range(4):
        budget.refused([METHOD_NAME], TOO_MANY)
    for _ in range(2):
        budget.answered([METHOD_NAME])
    assert refusal(budget).pause_seconds == pytest.approx(0.5)
    assert refusal(budget, CARD).pause_seconds == pytest.approx(1.0)


def test_a_portal_that_is_blocked_by_hand_is_left_alone_for_minutes(world):
    budget = world.quiet_budget()
    assert admitted(budget)
    budget.refused([METHOD_NAME], PortalBlocked("OVERLOAD_LIMIT", "REST API is blocked due to overload.", 503))
    assert refusal(budget, CARD).pause_seconds == pytest.approx(600.0)


def test_a_refused_process_holds_the_others_back(world, tmp_path):
    one, other = world.quiet_budget(tmp_path / "budget"), world.budget(tmp_path / "budget")
    assert admitted(one)
    one.refused([METHOD_NAME], TOO_MANY)
    assert not admitted(other)
    world.now += 0.6
    assert admitted(other)
    other.answered([METHOD_NAME])
    world.now += 4.0
    assert admitted(one, CARD)


def test_a_self_hosted_portal_that_refuses_is_obeyed_all_the_same(world):
    budget = world.budget(plan=PLANS["self-hosted"])
    assert admitted(budget)
    budget.refused([METHOD_NAME], TOO_MANY)
    assert refusal(budget, CARD).pause_seconds == pytest.approx(1.0)


# Operating time


def test_where_nothing_is_in_the_way_a_portal_of_ones_own_is_asked_without_the_file(world, tmp_path, caplog):
    place = tmp_path / "budget"
    budget = world.budget(place, PLANS["self-hosted"])
    assert admitted(budget)
    budget.heard(METHOD_NAME, {"operating": 3.0})
    before = place.stat()
    holder = shared_file.locked(place, 1.0)
    try:
        assert burst(budget, ATTACH) == 1000
    finally:
        os.close(holder)
    assert place.stat() == before
    assert not caplog.records  # nobody has tried to get the lock


def test_a_back_off_of_another_process_is_seen_at_once_and_its_end_too(world, tmp_path):
    ours, theirs = (world.budget(tmp_path / "budget", PLANS["self-hosted"]) for _ in range(2))
    for _ in range(20):
        assert admitted(ours, FINISH)
        assert admitted(theirs)
        theirs.refused([METHOD_NAME], TOO_MANY)
        assert not admitted(ours, FINISH)
        world.now += 120
        assert admitted(theirs)
        theirs.answered([METHOD_NAME])


def test_a_method_that_another_process_found_out_of_time_is_left_alone_at_once(world, tmp_path):
    ours, theirs = (world.budget(tmp_path / "budget", PLANS["self-hosted"]) for _ in range(2))
    assert admitted(ours)
    theirs.refused([METHOD_NAME], OPERATION_TIME)
    assert not admitted(ours)
    assert admitted(ours, methods=["telephony.externalCall.register"])


def test_whoever_may_not_set_the_files_time_reads_it_each_time(world, tmp_path, monkeypatch):
    """Only its owner may."""

    def refused(*arguments, **options):
        raise PermissionError

    ours, theirs = (world.budget(tmp_path / "budget", PLANS["self-hosted"]) for _ in range(2))
    monkeypatch.setattr(os, "utime", refused)
    for budget in (ours, theirs):
        assert admitted(budget)
    theirs.refused([METHOD_NAME], TOO_MANY)
    assert not admitted(ours, FINISH)


def test_a_method_out_of_operating_time_pauses_alone(world):
    budget = world.quiet_budget()
    assert admitted(budget)
    budget.refused([METHOD_NAME], OPERATION_TIME)
    error = refusal(budget, methods=("user.get", METHOD_NAME.lower()), wait=10.0)
    assert (error.blame, error.pause_seconds) == (METHOD, pytest.approx(60.0))
    assert METHOD_NAME.lower() in error.message
    assert admitted(budget, methods=("user.get",))
    world.now += 60.1
    assert admitted(budget)


def test_it_pauses_until_the_portal_frees_some_where_the_portal_has_said_when(world):
    budget = world.quiet_budget()
    # The portal's clock is its own: only the distance counts.
    budget.heard(METHOD_NAME, {"operating": 400.5, "operating_reset_at": 1790000250, "finish": 1790000000.5})
    assert admitted(budget)
    budget.refused([METHOD_NAME], OPERATION_TIME)
    assert refusal(budget).pause_seconds == pytest.approx(249.5)


def test_what_the_refusal_itself_says_comes_first(world):
    budget = world.quiet_budget()
    budget.heard(METHOD_NAME, {"operating": 400.5, "operating_reset_at": 1790000250, "finish": 1790000000.5})
    assert admitted(budget)
    error = MethodBusy("OPERATION_TIME_LIMIT", "", 429)
    error.pause_seconds = 17.0
    budget.refused([METHOD_NAME], error)
    assert refusal(budget).pause_seconds == pytest.approx(17.0)


@pytest.mark.parametrize(("said", "goes"), [(209.0, True), (210.0, False), (1000, False)])
def test_half_of_a_methods_operating_time_is_kept_from_a_backlog(world, said, goes):
    budget = world.quiet_budget()
    budget.heard(METHOD_NAME, {"operating": said})
    assert admitted(budget, BACKLOG) is goes
    assert admitted(budget, FINISH)
    assert admitted(budget, BACKLOG, methods=("user.get",))


def test_operating_time_falls_by_itself_as_its_minutes_leave_the_window(world):
    budget = world.quiet_budget()
    world.now = 60_000.0
    budget.heard(METHOD_NAME, {"operating": 150.0})
    world.now += 240.0
    budget.heard(METHOD_NAME, {"operating": 250.0})
    error = refusal(budget, BACKLOG)
    assert error.blame == METHOD
    # The first 150 s are gone when the minute that they were used in is more than ten minutes old.
    assert error.pause_seconds == pytest.approx(420.0)
    world.now += 419.0
    assert not admitted(budget, BACKLOG)
    world.now += 2.0
    assert admitted(budget, BACKLOG)


def test_a_smaller_word_of_the_portal_is_believed_at_once(world):
    budget = world.quiet_budget()
    budget.heard(METHOD_NAME, {"operating": 400.0})
    assert not admitted(budget, BACKLOG)
    budget.heard(METHOD_NAME, {"operating": 20.0})
    assert admitted(budget, BACKLOG)


@settings(max_examples=100, deadline=None)
@given(
    uses=st.lists(st.tuples(st.floats(0.0, 150.0), st.floats(0.0, 60.0), st.booleans()), min_size=1, max_size=40),
    offset=st.floats(0.0, 60.0),
)
@example(uses=[(7.0, 1.0, True), (586.0, 1.0, True), (27.0, 0.0, False)], offset=0.0)
def test_our_copy_of_the_portals_minutes_is_never_less_than_the_truth(uses, offset):
    known, now, portal, key = operating.Operating(), 100_000.0, OperatingTime(), ("webhook", METHOD_NAME)
    for pause, seconds, asks in uses:
        now += pause
        moment = now + offset  # the portal's minutes do not begin with ours
        if asks:
            portal.charge(key, seconds, moment)
            used = portal.used(key, moment)
            operating.heard(known, now, {"operating": used, "duration": seconds})
            assert known.total == pytest.approx(used, abs=1e-3)
        operating.wait(known, now, 0, 1)
        assert known.total >= portal.used(key, moment) - 1e-3


@pytest.mark.parametrize("seconds", [0.4, 3.0])
def test_hours_of_backlog_leave_half_of_the_operating_time_and_still_go_on(world, seconds):
    budget, portal, key = world.quiet_budget(), OperatingTime(), ("webhook", METHOD_NAME)
    ends, sent, highest = world.now + 4 * 3600.0, 0, 0.0
    while world.now < ends:
        methods = [METHOD_NAME] * max(1, int(15.0 / seconds))
        if not admitted(budget, BACKLOG, wait=0.5, methods=methods):
            world.now += 1.0
            continue
        for _ in methods:
            world.now += seconds
            portal.charge(key, seconds, world.now)
            highest = max(highest, portal.used(key, world.now))
            budget.heard(METHOD_NAME, {"operating": portal.used(key, world.now), "duration": seconds})
        budget.answered(methods)
        sent += len(methods) * seconds
    assert highest <= 210.0 + seconds
    # 210 s in ten to eleven minutes, for four hours.
    assert sent >= 210.0 * (4 * 60 / 11 - 1)


def test_what_is_under_way_counts_before_the_portal_has_told_of_it(world):
    budget = world.quiet_budget()
    for _ in range(40):
        budget.heard(METHOD_NAME, {"operating": 1.0, "duration": 3.0})
    batch = [METHOD_NAME] * 30
    assert admitted(budget, BACKLOG, methods=batch)
    assert admitted(budget, BACKLOG, methods=batch)
    assert refusal(budget, BACKLOG, methods=batch).blame == METHOD
    assert admitted(budget, FINISH, methods=batch)
    for _ in range(2):
        budget.answered(batch)
    assert admitted(budget, BACKLOG, methods=batch)


def test_what_nobody_ever_answered_is_forgotten(world):
    budget = world.quiet_budget()
    for _ in range(40):
        budget.heard(METHOD_NAME, {"operating": 1.0, "duration": 3.0})
    for _ in range(2):
        assert admitted(budget, BACKLOG, methods=[METHOD_NAME] * 30)
    assert not admitted(budget, BACKLOG, methods=[METHOD_NAME] * 30)
    world.now += 71.0
    assert admitted(budget, BACKLOG, methods=[METHOD_NAME] * 30)


def test_what_a_request_will_use_itself_counts_and_one_that_never_fits_goes_alone(world):
    budget = world.quiet_budget()
    for _ in range(40):
        budget.heard(METHOD_NAME, {"operating": 150.0, "duration": 5.0})
    assert admitted(budget, BACKLOG, methods=[METHOD_NAME] * 11)
    budget.answered([METHOD_NAME] * 11)
    assert not admitted(budget, BACKLOG, methods=[METHOD_NAME] * 13)
    world.now += 661.0
    assert admitted(budget, BACKLOG, methods=[METHOD_NAME] * 50)
    assert not admitted(budget, BACKLOG)


def test_the_log_warns_once_for_the_machine_when_a_limit_comes_near(world, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "bx24")
    budgets = [world.budget(tmp_path / "budget") for _ in range(2)]
    for said in (299.0, 300.0, 310.0, 250.0, 320.0):
        for budget in budgets:
            budget.heard(METHOD_NAME, {"operating": said})
    assert [record.getMessage().partition(" ")[0] for record in caplog.records] == [METHOD_NAME]
    budgets[0].heard(METHOD_NAME, {"operating": 100.0})
    budgets[0].heard(METHOD_NAME, {"operating": 301.0})
    assert len(caplog.records) == 2


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
TIMES = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(["operating", "operating_reset_at", "start", "finish", "duration", "processing"], ANYTHING),
)


@settings(max_examples=100, deadline=None)
@given(time=TIMES)
def test_a_time_of_any_shape_is_harmless(time, tmp_path_factory):
    world = World()
    place = tmp_path_factory.mktemp("heard") / "budget"
    budget = world.quiet_budget(place)
    budget.heard(METHOD_NAME, time)
    assert from_text(place.read_text(), ORDINARY, world.now)
    assert admitted(budget)
    budget.refused([METHOD_NAME], OPERATION_TIME)
    assert 1.0 <= refusal(budget).pause_seconds <= 660.0


# The file


def test_two_processes_fill_one_bucket(world, tmp_path):
    one, other = world.quiet_budget(tmp_path / "budget"), world.budget(tmp_path / "budget")
    assert burst(one, FINISH) == 30
    assert burst(other, REGISTER) == 10
    assert not admitted(one)


def test_the_file_is_for_its_owner_and_the_group_of_its_folder(world, tmp_path):
    before = os.umask(0o077)
    try:
        assert admitted(world.budget(tmp_path / "budget"))
    finally:
        os.umask(before)
    found, folder = (tmp_path / "budget").stat(), tmp_path.stat()
    assert found.st_mode & 0o777 == 0o660
    assert found.st_gid == folder.st_gid


@settings(max_examples=100, deadline=None)
@given(
    content=st.binary(min_size=1, max_size=200)
    | st.recursive(ANYTHING, st.lists, max_leaves=20).map(lambda v: json.dumps(v).encode())
)
@example(content=b"\n")
@example(content=b"[" * 60_000)
@example(content=b"9" * 60_000)
@example(content=b"[1,NaN,NaN,NaN,NaN,NaN,NaN,NaN,{}]\n")
@example(content=b"[1,1,0,0,0,0,0,1e300,{}]\n")
@example(content=b'[1,1,0,0,0,0,0,0,{"a":[1]}]\n')
@example(content=b'[1,1,0,0,0,0,0,0,{"a":[0,0,0,0,[[1e99,1]]]}]\n')
def test_what_nobody_understands_is_a_cautious_beginning(content, tmp_path_factory):
    world = World()
    place = tmp_path_factory.mktemp("torn") / "budget"
    place.write_bytes(content)
    assert burst(world.budget(place), REGISTER) == 10
    assert from_text(place.read_text(errors="replace"), ORDINARY, world.now)


def test_a_text_that_is_cut_anywhere_is_a_cautious_beginning(world, tmp_path):
    place = tmp_path / "budget"
    budget = world.quiet_budget(place)
    budget.heard(METHOD_NAME, {"operating": 300.0, "duration": 0.3})
    assert burst(budget, BACKLOG) == 0
    whole = place.read_bytes()
    for length in range(1, len(whole) - 1):
        place.write_bytes(whole[:length])
        assert burst(world.budget(place), REGISTER) == 10


def test_a_shorter_text_over_a_longer_one_is_read_to_its_end_only(world, tmp_path):
    place = tmp_path / "budget"
    assert admitted(world.quiet_budget(place))
    place.write_bytes(place.read_bytes() + b'"operating":[[12,3]]}]\n' * 3)
    assert burst(world.budget(place), REGISTER) == 39


@pytest.mark.parametrize("urgency", list(Urgency))
def test_where_there_was_no_file_nobody_has_sent_anything_and_nobody_waits(world, tmp_path, urgency):
    assert burst(world.budget(tmp_path / "budget"), urgency) == ORDINARY.mark(urgency)


def test_a_file_that_went_away_takes_nothing_along_that_its_processes_know(world, tmp_path):
    budget = world.budget(tmp_path / "budget")
    assert burst(budget, BACKLOG) == 20
    (tmp_path / "budget").unlink()
    assert burst(budget, REGISTER) == 20
    assert burst(world.budget(tmp_path / "budget"), REGISTER) == 0


@pytest.mark.parametrize(("seconds", "free"), [(0.0, 0), (6.0, 12), (19.0, 38), (30.0, 40)])
def test_after_a_reboot_the_seconds_since_it_count_as_drained(world, tmp_path, seconds, free):
    place = tmp_path / "budget"
    assert burst(world.budget(place), REGISTER) == 40
    world.now = seconds
    assert burst(world.budget(place), REGISTER) == free


def test_after_a_reboot_a_method_that_was_out_of_operating_time_still_is(world, tmp_path):
    place = tmp_path / "budget"
    before = world.quiet_budget(place)
    before.heard(METHOD_NAME, {"operating": 300.0, "duration": 0.3})
    before.refused(["other"], OPERATION_TIME)
    world.now = 20.0
    budget = world.budget(place)
    assert refusal(budget, BACKLOG).blame == METHOD
    assert refusal(budget, methods=["other"]).pause_seconds == pytest.approx(40.0, abs=0.01)
    assert admitted(budget)
    world.now = 661.0
    assert admitted(budget, BACKLOG)


def test_after_a_reboot_a_portal_that_is_blocked_by_hand_still_is(world, tmp_path):
    place = tmp_path / "budget"
    budget = world.quiet_budget(place)
    assert admitted(budget)
    budget.refused([METHOD_NAME], PortalBlocked("OVERLOAD_LIMIT", "", 503))
    world.now = 30.0
    assert burst(world.budget(place), REGISTER) == 0
    world.now = 601.0
    assert admitted(world.budget(place))


def unusable(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "named").write_text("")
    os.link(tmp_path / "named", tmp_path / "twice")
    return [
        tmp_path / name for name in ("folder", "link", "nowhere", "pipe", "twice", "missing/budget", "named/budget")
    ]


def test_a_place_that_is_no_file_of_ours_stops_nothing_and_is_left_alone(world, tmp_path, caplog):
    for place in unusable(tmp_path):
        caplog.clear()
        assert burst(world.budget(place), REGISTER) == 10
        assert len(caplog.records) == 1, "said once"
    assert not (tmp_path / "missing").exists()
    assert (tmp_path / "elsewhere").read_text() == (tmp_path / "named").read_text() == ""


def test_a_file_that_goes_away_is_made_anew(world, tmp_path):
    place = tmp_path / "budget"
    budget = world.quiet_budget(place)
    place.unlink()
    assert admitted(budget)
    assert place.exists()


HOLDS_THE_LOCK = """
import sys, time
from pathlib import Path
from freepbx_bx24.bitrix24 import shared_file
shared_file.locked(Path(sys.argv[1]), 1.0)
print("held", flush=True)
time.sleep(60)
"""


def start(script, *arguments):
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def holder(world, tmp_path):
    assert admitted(world.quiet_budget(tmp_path / "budget"))
    process = start(HOLDS_THE_LOCK, tmp_path / "budget")
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_lock_that_cant_be_had_stops_no_call_and_what_was_sent_meanwhile_is_added(world, tmp_path, holder):
    place = tmp_path / "budget"
    budget = world.budget(place)
    began = time.monotonic()
    sent = burst(budget, REGISTER)
    assert sent == 10
    in_time(time.monotonic() - began, 0.4, "it is tried once, not for each request")
    holder.kill()
    holder.wait()
    assert not admitted(budget)
    world.now += 2.5
    assert admitted(budget)
    # Ten while nobody else could know of them, less what has drained in 2.5 s, and the one of just now.
    assert from_text(place.read_text(), ORDINARY, world.now).level == pytest.approx(6.0, abs=0.01)


def test_the_lock_ends_with_the_process_that_holds_it(world, tmp_path, holder):
    holder.kill()
    holder.wait()
    began = time.monotonic()
    os.close(shared_file.locked(tmp_path / "budget", 0.0))
    in_time(time.monotonic() - began, 0.1)


SENDS = """
import sys, threading
from pathlib import Path
from freepbx_bx24.bitrix24 import shared_state
from freepbx_bx24.bitrix24.budget import Budget, Plan, Urgency, boot_clock
from freepbx_bx24.errors import PortalWaits
shared_state.LOCK_SECONDS = 5.0  # however busy the machine is, nobody counts alone
budget = Budget(Path(sys.argv[1]), Plan(30.0, 20, 10))
print("ready", flush=True)
ends = boot_clock() + float(sys.argv[2])
def send():
    while boot_clock() < ends:
        try:
            budget.admit(["a.method"], Urgency.REGISTER, 0.02)
        except PortalWaits:
            pass
threads = [threading.Thread(target=send) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(*(admitted_at for _, admitted_at in budget._flights))
"""


def test_several_processes_together_obey_the_limit(tmp_path):
    processes = [start(SENDS, tmp_path / "budget", 0.8) for _ in range(4)]
    outputs = [process.communicate(timeout=30)[0].split() for process in processes]
    assert [output[0] for output in outputs] == ["ready"] * 4
    sent = sorted(float(moment) for output in outputs for moment in output[1:])
    assert most_in_excess(sent, drain=30.0) <= 10 + 1e-3
    assert len(sent) >= 10 + 30.0 * 0.8 * 0.6, "what is free is used"


def test_a_process_killed_anywhere_leaves_a_whole_text(tmp_path):
    place = tmp_path / "budget"
    for number in range(6):
        process = start(SENDS, place, 30)
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.03 + 0.017 * number)
        process.kill()
        process.wait()
        process.stdout.close()
        assert from_text(place.read_text(), Plan(30.0, 20, 10), boot_clock())


NO_SPACE = """
import resource, sys
from pathlib import Path
from freepbx_bx24.bitrix24.budget import PLANS, Budget, Urgency
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
budget = Budget(Path(sys.argv[1]), PLANS["ordinary"])
for _ in range(10):
    budget.admit(["a.method"], Urgency.REGISTER, 0.0)
budget.heard("a.method", {"operating": 1.0})
budget.answered(["a.method"])
sys.stdout.write("all")
"""


def test_a_disk_that_takes_nothing_stops_nothing(tmp_path):
    process = start(NO_SPACE, tmp_path / "budget")
    assert process.communicate(timeout=30)[0] == "all"


def test_a_thread_that_hangs_in_the_disk_holds_no_other_up(world, tmp_path):
    budget = world.budget(tmp_path / "budget")
    with budget._lock:  # as a thread has it for as long as its write hangs
        began = time.monotonic()
        assert burst(budget, REGISTER) == 10
        budget.heard(METHOD_NAME, {"operating": 1.0})
        budget.refused([METHOD_NAME], TOO_MANY)
        budget.answered([METHOD_NAME])
        in_time(time.monotonic() - began, 1.0)
    world.now += LONG_AGO
    assert admitted(budget)


@pytest.mark.parametrize("shared", [False, True], ids=["memory", "file"])
def test_to_be_let_in_where_there_is_room_costs_well_under_a_millisecond(tmp_path, shared):
    budget = Budget(tmp_path / "budget" if shared else None, Plan(1e6, 20_000, 10_000))
    for name in ("register", "finish", "show", "hide", "attachRecord", "searchCrmEntities"):
        budget.heard(f"telephony.externalCall.{name}", {"operating": 3.3, "duration": 0.3})
    taken = []
    for _ in range(500):
        began = time.perf_counter()
        budget.admit([METHOD_NAME], REGISTER, 0.2)
        taken.append(time.perf_counter() - began)
        budget.answered([METHOD_NAME])
    taken.sort()
    print(f"admit: median {taken[250] * 1e6:.0f} us, 95 % below {taken[475] * 1e6:.0f} us")
    assert taken[250] < 0.001
