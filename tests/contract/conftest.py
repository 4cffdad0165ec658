"""A running sandbox portal and a client of it for each test; the portals that any-portal tests run against."""

from __future__ import annotations

import logging
import os
from typing import Iterator

import pytest
from open_questions import Answers
from portal_client import PHONE, Client
from portal_under_test import PortalUnderTest, trouble_with
from real_portal import PACE_SECONDS, RealPortal, access_by_webhook, real_portal
from rest_door import Pace

from freepbx_bx24.sandbox.portal import Portal

SANDBOX_USER = 1101


class RealSession:
    """What lasts from test to test at the real portal: its pace, what was found out, what could not be cleaned."""

    def __init__(self, settings: RealPortal, answers: Answers) -> None:
        self.settings, self.answers = settings, answers
        self.left_behind: list[str] = []
        self._pace = Pace(0 if settings.access.is_local else PACE_SECONDS)
        self._trouble: str | None = None

    def portal(self) -> PortalUnderTest:
        """The portal for one test. Fails where it can't be worked with at all."""
        settings = self.settings
        portal = PortalUnderTest(
            "real", settings.access, settings.user, settings.phone, pace=self._pace, answers=self.answers
        )
        if self._trouble is None:
            self._trouble = "it was not reached"  # where the next line does not return
            self._trouble = trouble_with(portal)
        if self._trouble:
            pytest.fail(f"{portal!r}: {self._trouble}", pytrace=False)
        return portal


ANSWERS = pytest.StashKey[Answers]()
REAL = pytest.StashKey["RealSession | None"]()


def pytest_configure(config: pytest.Config) -> None:
    settings, wrong = None, ""
    try:
        settings = real_portal(os.environ)
    except pytest.UsageError as error:
        wrong = str(error)  # its traceback holds the environment
    if wrong:
        raise pytest.UsageError(wrong)
    config.stash[ANSWERS] = Answers()
    config.stash[REAL] = RealSession(settings, config.stash[ANSWERS]) if settings else None
    if settings:
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # its debug log holds whole addresses


def pytest_report_header(config: pytest.Config) -> str:
    real = config.stash[REAL]
    return "contract tests run against: sandbox" + (f", {real.settings.access.host}" if real else "")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    real = metafunc.config.stash[REAL]
    for fixture, runs_on_real in (
        ("portal_under_test", real is not None),
        ("portal_that_may_create", real is not None and real.settings.may_create),
    ):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, ["sandbox", "real"] if runs_on_real else ["sandbox"], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What creates clients comes last: a lead that can't be deleted again makes nobody's number somebody's."""
    ours = [index for index, item in enumerate(items) if "portal_under_test" in getattr(item, "fixturenames", ())]
    creating = [
        index for index, item in enumerate(items) if "portal_that_may_create" in getattr(item, "fixturenames", ())
    ]
    places = sorted(ours + creating)
    for place, item in zip(places, [items[index] for index in ours + creating]):
        items[place] = item


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    real = config.stash[REAL]
    if not real:
        return
    terminalreporter.section("what this portal does where portals differ")
    for line in config.stash[ANSWERS].table(real.settings.access.host):
        terminalreporter.write_line(line)
    for line in real.left_behind:
        terminalreporter.write_line(f"Left behind, delete it by hand: {line}")


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as portal:
        yield portal


@pytest.fixture
def client(portal: Portal) -> Iterator[Client]:
    client = Client(portal)
    yield client
    client.session.close()


def _portal_for(request: pytest.FixtureRequest) -> Iterator[PortalUnderTest]:
    if request.param == "real":
        real = request.config.stash[REAL]
        assert real
        portal = real.portal()
        yield portal
        try:
            portal.clean()
        finally:
            real.left_behind += portal.left_behind
        return
    with Portal() as sandbox:
        access, answers = access_by_webhook(sandbox.webhook_url), request.config.stash[ANSWERS]
        portal = PortalUnderTest("sandbox", access, SANDBOX_USER, PHONE, answers=answers)
        yield portal
        portal.clean()


@pytest.fixture
def portal_under_test(request: pytest.FixtureRequest) -> Iterator[PortalUnderTest]:
    """A portal known through REST alone: the sandbox always, a real one where BX24_TEST_PORTAL is set."""
    yield from _portal_for(request)


@pytest.fixture
def portal_that_may_create(request: pytest.FixtureRequest) -> Iterator[PortalUnderTest]:
    """The same, for CRM_CREATE 1: a real one only where BX24_TEST_CREATE=1 allows it."""
    yield from _portal_for(request)
