"""The sandbox's page: why an alert has no incident, an alert of one's own, merge, escalate, faults and their sign."""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import SCHEMES, SCREENS
from tests.browser.test_console import SERIOUS
from tests.system.world import World

pytestmark = pytest.mark.system
LONGEST = 15_000
"""As many milliseconds a fact may take."""


@pytest.fixture
def sandbox_page(world: World, chromium: Browser) -> Iterator[Page]:
    """Before the page of the simulation, which may ask the bridge; at the end the browser complained about nothing."""
    world.sandbox.post("bridge", {"url": world.bridge.url, "token": world.bridge.environment["BRIDGE_ADMIN_TOKEN"]})
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda fault: complaints.append(str(fault)))
    page.set_default_timeout(LONGEST)
    expect.set_options(timeout=LONGEST)
    page.goto(world.sandbox.url)
    yield page
    context.close()
    world.sandbox.heal()
    assert [] == complaints


def raise_own(page: Page, severity: str, text: str) -> None:
    """By the form."""
    if not page.get_by_label("Severity").is_visible():
        page.get_by_text("An alert of your own…").click()
    page.get_by_label("Severity").select_option(severity)
    page.get_by_label("Kind").select_option("toxicity")
    page.get_by_label("Text").fill(text)
    page.get_by_role("button", name="Raise", exact=True).click()


def card(page: Page, side: str, text: str) -> Locator:
    """The card of an alert or an incident."""
    return page.locator(f"#{side} > li").filter(has_text=text)


def test_it_says_why_an_alert_has_no_incident(world: World, sandbox_page: Page):
    text = world.new_alert_id()
    raise_own(sandbox_page, "medium", text)
    alert = card(sandbox_page, "alerts", text)
    expect(alert).to_contain_text("Bridge: No incident: the severity map says so.")
    story = alert.get_by_role("link", name="Its story").get_attribute("href")
    assert story == f"{world.bridge.url}/console/alert?alert={alert.get_attribute('id')}"
    expect(card(sandbox_page, "incidents", text)).to_have_count(0)


def test_incidents_are_escalated_and_merged(world: World, sandbox_page: Page):
    page, texts = sandbox_page, [world.new_alert_id(), world.new_alert_id()]
    for text in texts:
        raise_own(page, "critical", text)
    stays, goes = (card(page, "incidents", text) for text in texts)
    stays.get_by_role("button", name="Escalate").click()
    expect(stays).to_contain_text("level 2 of 2")
    expect(stays.get_by_role("button", name="Escalate")).to_have_count(0)

    goes.get_by_role("button", name="Merge…").click()
    chosen = page.locator("dialog option").filter(has_text=texts[0])
    page.get_by_role("dialog").get_by_role("combobox").select_option(chosen.get_attribute("value"))
    page.get_by_role("button", name="Send", exact=True).click()
    expect(goes).to_contain_text("merged")
    number = re.findall(r"#\d+", stays.inner_text())[0]
    expect(card(page, "alerts", texts[1])).to_contain_text(f"incident {number}")


def test_a_fault_is_seen_felt_and_ended(world: World, sandbox_page: Page):
    page, text, other = sandbox_page, world.new_alert_id(), world.new_alert_id()
    sign, normal = page.locator("#faults-on"), page.locator("#heal")
    expect(normal).to_be_disabled()
    page.get_by_role("button", name="PagerDuty down", exact=True).click()
    expect(sign).to_contain_text("Fault on: PagerDuty down")
    raise_own(page, "critical", text)
    expect(card(page, "alerts", text)).to_contain_text("to PagerDuty failed (http_503)")
    normal.click()
    expect(sign).to_be_empty()
    expect(card(page, "incidents", text)).to_have_count(1)

    wrong_secret = page.get_by_role("button", name="Wrong secret", exact=True)
    wrong_secret.click()
    expect(wrong_secret).to_have_attribute("aria-pressed", "true")
    raise_own(page, "critical", other)
    expect(card(page, "alerts", other)).to_contain_text("alert.created with 401")
    wrong_secret.click()
    expect(sign).to_be_empty()
    expect(card(page, "incidents", other)).to_have_count(1)

    page.get_by_role("button", name="PagerDuty: 429", exact=True).click()
    expect(sign).to_contain_text("Fault on: PagerDuty: 429")
    [fault] = world.sandbox.get("faults")["faults"]
    assert ("pagerduty", 429, "5") == (fault["partner"], fault["status"], fault["headers"]["ratelimit-reset"])


def test_it_fits_every_screen_and_is_readable_to_all(world: World, sandbox_page: Page):
    page, wrong = sandbox_page, list[str]()
    world.sandbox.fault(partner="pagerduty", kind="slow", seconds=0, path_regex="^/a-very-long-path/" + "x" * 100)
    world.sandbox.raise_alert(world.new_alert_id(), message="A long word: " + "x" * 200)
    page.get_by_text("An alert of your own…").click()
    expect(page.locator("#faults-on")).to_contain_text("xxx")
    for (screen, (width, height)), scheme in zip(SCREENS.items(), SCHEMES, strict=True):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wrong.append(f"{screen}: wider than the screen")
        found = Axe().run(page).response["violations"]
        wrong += [f"{screen} {scheme}: {one['id']}" for one in found if one["impact"] in SERIOUS]
    assert [] == wrong
