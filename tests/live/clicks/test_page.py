"""The sandbox portal's page in a real browser: a click there rings a real telephone, and its call is seen and heard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterator

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from freepbx_bx24.sandbox.pbx.record import answer, ring
from freepbx_bx24.sandbox.portal import Entity
from freepbx_bx24.sandbox.portal.page import Page
from freepbx_bx24.sandbox.product import YAML
from tests.live.world import World
from tests.support.browser import chromium
from tests.support.running_service import wait_until

from .conftest import serve
from .dialled import outside, rung, takes, user_of

# What a browser shows does not depend on the release of Asterisk.
pytestmark = pytest.mark.parametrize("world", ["forky"], indirect=True)

RECORDED = """
line_defaults: {recordings: answered}
recordings: {min_seconds: 0}
"""
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
SECONDS = 30.0


class Screen:
    """What a person in front of the page sees and does."""

    def __init__(self, driver: WebDriver, page: Page, pictures: Path) -> None:
        self.driver, self.page, self.pictures = driver, page, pictures
        self.open()

    def open(self) -> None:
        """Load the page, and wait until it is live."""
        self.driver.get(self.page.url)
        self.until(lambda: self.find("#live").text == "Live")

    def until(self, seen: Any) -> None:
        wait_until(seen, SECONDS, lambda: self.find("body").text)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """What is written in all such places, at one instant."""
        script = "return [...document.querySelectorAll(arguments[0])].map((place) => place.innerText)"
        return list(self.driver.execute_script(script, selector))

    def cards_of(self, extension: int) -> str:
        """The cards on a person's screen that are open."""
        return "\n".join(self.texts(f'[data-user="{user_of(extension)}"] .card:not(.lost, .notice)'))

    def rows_of(self, number: str) -> list[str]:
        """The rows of the call log of a client's number."""
        return [row for row in self.texts("#calls tr") if number in row.replace(" ", "").replace("-", "")]

    def picture(self, name: str) -> None:
        """Keep what is to be seen."""
        self.driver.save_screenshot(str(self.pictures / f"{name}.png"))

    def act_as(self, extension: int) -> None:
        Select(self.find("#me")).select_by_value(str(user_of(extension)))

    def plays(self, call_id: str) -> bool:
        """Press the space bar on a call's player, and wait until its sound goes on."""
        player = f'[data-key="{call_id}"] audio'
        self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, player))
        self.find(player).send_keys(Keys.SPACE)
        self.until(lambda: self.driver.execute_script("return arguments[0].currentTime > 0", self.find(player)))
        length = self.driver.execute_script("return arguments[0].duration", self.find(player))
        return bool(length > 0.5)


@pytest.fixture(scope="module")
def recorded(dialling: World) -> Iterator[World]:
    """Every call is recorded, and its recording sent."""
    text = dialling.pbx.root.outside(YAML).read_text(encoding="utf-8")
    dialling.pbx.asterisk.rx("dialplan set global RECORD_CALLS yes")
    dialling.product.stop()
    with dialling.yaml(text + RECORDED):
        dialling.pbx.root.run(["sh", "-c", f"chown root:asterisk {YAML} && chmod 0640 {YAML}"])
        serve(dialling)
        yield dialling
    dialling.pbx.asterisk.rx("dialplan set global RECORD_CALLS no")


@pytest.fixture(scope="module")
def screen(recorded: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    """One browser, which stays at the page; BX24_KEEP names a folder for its pictures."""
    pictures = Path(os.environ.get("BX24_KEEP") or tmp_path_factory.mktemp("pictures"))
    pictures.mkdir(parents=True, exist_ok=True)
    with Page(recorded.portal) as page, chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield Screen(driver, page, pictures)


def test_a_click_on_a_client_rings_the_person_and_the_call_is_seen_and_heard(recorded: World, screen: Screen) -> None:
    number = recorded.new_number()
    recorded.portal.world.entities.append(Entity("CONTACT", 7101, "Maria Orlova", [number]))
    recorded.pbx.phone(111).behaviour = answer(1.0, sound=True)
    takes(recorded, number, answer(2.0, talk=4.0, sound=True))
    screen.act_as(111)
    screen.until(lambda: screen.driver.find_elements(By.CSS_SELECTOR, '[data-client="CONTACT:7101"]'))
    screen.find('[data-client="CONTACT:7101"]').click()
    screen.until(lambda: "Maria Orlova" in screen.cards_of(111))
    wait_until(lambda: bool(outside(recorded, number)), SECONDS, recorded.explain)
    screen.picture("click-card")
    assert not any("Maria Orlova" in screen.cards_of(extension) for extension in (101, 112, 113, 114))
    assert "Maria Orlova" in screen.find("#news").get_attribute("textContent")  # read out to who does not see it
    screen.until(lambda: any("Answered" in row for row in screen.rows_of(number)))
    (row,) = screen.rows_of(number)
    (theirs,), (mine,) = outside(recorded, number), rung(recorded, 111, number)
    person = recorded.portal.world.by_extension("111")
    assert person
    assert "Outgoing call" in row and f"{person.name} {person.last_name}" in row
    (call,) = recorded.crm_calls(number)
    assert abs(call["CALL_DURATION"] - theirs.talk_seconds) <= 1.0
    assert f"0:{call['CALL_DURATION']:02d}" in row
    assert mine.answered
    screen.until(lambda: "Maria Orlova" not in screen.cards_of(111))
    assert screen.plays(call["CALL_ID"])
    screen.picture("click-log")


def test_the_callback_form_rings_its_target_and_the_call_is_seen_and_heard(recorded: World, screen: Screen) -> None:
    number = recorded.new_number()
    for extension in (111, 113):
        recorded.pbx.phone(extension).behaviour = ring()
    recorded.pbx.phone(112).behaviour = answer(1.0, sound=True)
    takes(recorded, number, answer(1.0, talk=4.0, sound=True))
    screen.find("#callback [name=number]").send_keys(number)
    screen.find("#callback [name=text]").send_keys("Please call me back", Keys.ENTER)
    screen.until(lambda: number[1:] in "".join(filter(str.isdigit, screen.cards_of(112))))
    screen.picture("callback-card")
    screen.until(lambda: any("Answered" in row for row in screen.rows_of(number)))
    (row,) = screen.rows_of(number)
    person = recorded.portal.world.by_extension("112")
    assert person
    assert "Callback" in row and f"{person.name} {person.last_name}" in row
    (call,), (theirs,) = recorded.crm_calls(number), outside(recorded, number)
    assert abs(call["CALL_DURATION"] - theirs.talk_seconds) <= 1.0
    assert screen.plays(call["CALL_ID"])
    screen.picture("callback-log")


def test_a_refused_click_and_a_strangers_name_are_text_on_the_page(recorded: World, screen: Screen) -> None:
    recorded.portal.world.entities.append(Entity("CONTACT", 7102, HOSTILE, ["+78095550101"]))  # a premium number
    screen.act_as(115)
    screen.until(lambda: screen.driver.find_elements(By.CSS_SELECTOR, '[data-client="CONTACT:7102"]'))
    screen.find('[data-client="CONTACT:7102"]').click()
    screen.until(lambda: any("Refused" in row and HOSTILE in row for row in screen.texts("#calls tr")))
    screen.until(lambda: any("Notification" in text for text in screen.texts(f'[data-user="{user_of(115)}"] .notice')))
    assert screen.driver.title.startswith("Sandbox portal")
    assert screen.driver.find_elements(By.CSS_SELECTOR, "img:not(.top img)") == []


def test_everything_can_be_reached_by_keys_and_has_a_name(screen: Screen) -> None:
    places = screen.driver.find_elements(
        By.CSS_SELECTOR, "a, [role=switch], form input, form button, select, audio, aside, main > section"
    )
    assert [place.get_attribute("outerHTML") for place in places if not place.accessible_name] == []
    screen.open()  # so that the first key goes to the page's beginning
    reached = []
    for _ in range(9):
        screen.driver.switch_to.active_element.send_keys(Keys.TAB)
        focused = screen.driver.switch_to.active_element
        reached.append(focused.get_attribute("id") or focused.get_attribute("name") or focused.accessible_name)
    switches = ["Portal down", "Slow answers", "Rate-limited", "Token expired"]
    assert reached == ["Skip to the call log", *switches, "me", "click-line", "number", "Call"]


def test_a_trouble_is_switched_on_and_off_and_a_page_that_was_away_comes_back(recorded: World, screen: Screen) -> None:
    switch = screen.find('[data-trouble="down"]')
    switch.send_keys(Keys.SPACE)
    screen.until(lambda: switch.get_attribute("aria-checked") == "true")
    assert not recorded.portal.is_up
    switch.send_keys(Keys.ENTER)
    screen.until(lambda: switch.get_attribute("aria-checked") == "false")
    assert recorded.portal.is_up
    screen.page.stop()
    screen.until(lambda: "lost" in screen.find("#live").text)
    screen.page.start()
    screen.until(lambda: screen.find("#live").text == "Live")
