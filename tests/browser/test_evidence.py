"""An evidence link on a phone: whoever is woken says that it was a false alert, and the report counts it."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browser.conftest import SCHEMES, SCREENS, Operator
from tests.browser.test_console import SERIOUS

pytestmark = pytest.mark.system


def link_in(body: str) -> str:
    """The address in what a woken person reads."""
    found = re.search(r"Evidence link: (\S+)", body)
    assert found, body
    return found[1]


def test_a_false_alert_is_judged_by_link_on_a_phone_and_counted_in_the_report(operator: Operator, chromium: Browser):
    world, alert_id = operator.world, operator.world.new_alert_id()
    world.sandbox.raise_alert(alert_id, message="A long word: " + "x" * 200, query="what was asked")
    world.until_both_are(alert_id, "open", "triggered", 30)
    incident = world.sandbox.incident(alert_id)
    width, height = SCREENS["phone"]
    complaints: list[str] = []
    for scheme in SCHEMES:
        phone = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page = phone.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(link_in(incident["body"]))
        assert f"Incident #{incident['incident_number']}" == page.inner_text("h1")
        assert "what was asked" not in page.inner_text("main")
        page.get_by_text("False alert…").click()
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
        found = Axe().run(page).response["violations"] if scheme == SCHEMES[-1] else []
        assert [] == [one["id"] for one in found if one["impact"] in SERIOUS]
        if scheme == SCHEMES[-1]:
            page.get_by_label("and resolve it on both sides").check()
            with page.expect_navigation():
                page.get_by_role("button", name="It was a false alert").click()
            assert "Both sides are being brought there." in page.inner_text("main")
            assert [] == phone.cookies()
        phone.close()
    world.until_both_are(alert_id, "resolved", "resolved", 30)
    operator.open_alert(alert_id)
    assert operator.says(f"somebody with the link of #{incident['incident_number']}")
    assert operator.says("false alert")
    operator.open("reports?period=daily")
    row = operator.page.locator("tr", has_text=f"#{incident['incident_number']}").first
    assert "false alert" in row.inner_text().lower()
    assert [] == complaints
    assert link_in(incident["body"]).rpartition("/")[2] not in world.bridge.log.read_text("utf-8")
