"""The console as people use it: in a browser, on a desk and on a phone, in the light and in the dark."""

from collections.abc import Iterator

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.conftest import SCHEMES, SCREENS, Operator, console_link
from tests.system.waiting import until
from tests.system.world import World

PAGES = (
    "", "links", "dead-letters", "escalations", "rules", "silences", "reports", "setup", "configuration", "jobs",
    "drafts", "shadow", "audit",
)  # fmt: skip
DRAFT = """\
severity_map: {critical: none, high: none, medium: high, low: none}
rules: []
"""
SERIOUS = {"serious", "critical"}

pytestmark = pytest.mark.system


def test_a_one_time_link_works_once(world: World, chromium: Browser):
    link = console_link(world)
    context = chromium.new_context()
    page = context.new_page()
    page.goto(link)
    page.goto(link)  # looking spends nothing
    with page.expect_navigation():
        page.get_by_role("button", name="Log in").click()
    assert page.url.endswith("/console/")
    context.clear_cookies()
    page.goto(link)
    with page.expect_navigation():
        page.get_by_role("button", name="Log in").click()
    assert "This link was used already" in page.inner_text("main")
    page.goto(f"{world.bridge.url}/console/links")
    assert "/console/login?next=/console/links" in page.url
    context.close()


def test_the_setup_page_names_a_wrong_secret(operator: Operator):
    address, forged = f"{operator.world.bridge.url}/truthvouch/alerts", {"X-TruthVouch-Signature": "sha256=" + "0" * 64}
    assert 401 == requests.post(address, b"{}", headers=forged, timeout=10).status_code

    def named() -> bool:
        operator.open("setup")
        return operator.says("signature mismatch")

    until(named, "the refused delivery is shown", 20)
    assert operator.says("TRUTHVOUCH_WEBHOOK_SECRETS")


def test_a_stuck_page_is_found_understood_and_mended(operator: Operator):
    world, alert_id = operator.world, operator.world.new_alert_id()
    world.sandbox.fault(
        partner="pagerduty", method="POST", path_regex="/incidents$", kind="status", status=400, times=1
    )
    world.sandbox.raise_alert(alert_id)

    def is_given_up() -> bool:
        operator.open("dead-letters")
        return operator.says(alert_id) or operator.page.locator(f"a[href*='{alert_id}']").count() > 0

    until(is_given_up, "it is among the dead letters", 30, world.evidence)
    operator.page.locator(f"a[href*='{alert_id}']").first.click()
    operator.page.wait_for_url("**/console/alert?**")
    assert operator.says("was given up")
    operator.press("Replay")
    world.until_both_are(alert_id, "open", "triggered", 30)
    operator.open_alert(alert_id)
    assert operator.says("The bridge opened the incident at PagerDuty")


def test_an_alert_is_acknowledged_resolved_and_judged_by_buttons(operator: Operator):
    world, alert_id = operator.world, operator.world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered", 30)
    operator.open(f"links?q={alert_id}")
    operator.page.locator("main table a").first.click()
    operator.page.wait_for_url("**/console/alert?**")
    assert operator.says("An incident of high urgency")
    operator.press("Acknowledge")
    world.until_both_are(alert_id, "acknowledged", "acknowledged", 30)
    operator.open_alert(alert_id)
    operator.page.get_by_text("Resolve…").click()
    operator.page.locator("textarea").first.fill("Prompt template rolled back")
    operator.press("Resolve on both sides")
    world.until_both_are(alert_id, "resolved", "resolved", 30)
    operator.open_alert(alert_id)
    operator.page.get_by_text("False alert…").click()
    operator.press("Record: it was a false alert")
    operator.open("reports?period=daily")
    assert operator.says("False alerts")


def test_a_draft_is_tried_and_its_diff_shown(operator: Operator):
    world = operator.world
    lost, gained = world.new_alert_id(), world.new_alert_id()
    world.sandbox.raise_alert(gained, severity="medium")
    world.sandbox.raise_alert(lost)
    world.until_both_are(lost, "open", "triggered", 30)
    operator.open("drafts")
    operator.page.get_by_label("Name;").fill("calmer nights")
    operator.page.locator("#edit textarea").fill("severity_map: 7")
    operator.press("Keep the draft")
    assert operator.says("The draft is refused")
    operator.page.locator("#edit textarea").fill(DRAFT)
    operator.press("Keep the draft")
    operator.page.locator("select[name=draft]").select_option("calmer nights")
    operator.press("Start the backtest")
    # The page is never loaded again: the script brings what the job comes to.
    operator.page.get_by_role("heading", name="What the draft changes").wait_for()
    assert operator.page.get_by_role("link", name=gained).count() == 1
    assert operator.page.get_by_role("heading", name="lost").is_visible()
    assert operator.says("the severity map")
    operator.open("audit")
    assert operator.says("start job")


def test_a_login_by_token_and_a_log_out(world: World, chromium: Browser):
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{world.bridge.url}/")
    assert page.url.endswith("/console/login?next=/console/")
    page.get_by_label("Token").fill(world.bridge.environment["BRIDGE_ADMIN_TOKEN"])
    with page.expect_navigation():
        page.get_by_role("button", name="Log in").click()
    assert "Overview" in page.inner_text("h1")
    with page.expect_navigation():
        page.get_by_role("button", name="Log out").click()
    page.goto(f"{world.bridge.url}/console/links")
    assert "/console/login" in page.url
    context.close()


@pytest.fixture(params=[(screen, scheme) for screen in SCREENS for scheme in SCHEMES], ids="-".join)
def somewhere(request: pytest.FixtureRequest, operator: Operator, chromium: Browser) -> Iterator[Page]:
    """A page on one screen and in one scheme, logged in."""
    screen, scheme = request.param
    width, height = SCREENS[screen]
    context = chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, storage_state=operator.context.storage_state()
    )
    page = context.new_page()
    page.on("console", lambda said: operator.complaints.append(said.text) if said.type == "error" else None)
    yield page
    context.close()


def test_every_page_fits_its_screen_and_is_readable_to_all(somewhere: Page, operator: Operator):
    world, alert_id = operator.world, operator.world.new_alert_id()
    world.sandbox.raise_alert(alert_id, message="A long word: " + "x" * 200)
    world.until_both_are(alert_id, "open", "triggered", 30)
    wrong: list[str] = []
    for path in (*PAGES, f"alert?alert={alert_id}"):
        somewhere.goto(f"{world.bridge.url}/console/{path}")
        if somewhere.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wrong.append(f"{path}: wider than the screen")
        found = Axe().run(somewhere).response["violations"]
        wrong += [f"{path}: {one['id']} {one['nodes'][0]['target']}" for one in found if one["impact"] in SERIOUS]
    assert [] == wrong
