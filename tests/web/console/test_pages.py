"""Every page, before an empty store and a filled one: whole, safe, readable without eyes, and leading somewhere."""

import re
from urllib.parse import urlsplit

import pytest

from app.ui import pages
from app.web.access import Access, Role
from app.web.auth import HEADERS
from tests.web.console.pages import ConsoleRig
from tests.web.console.story import filled
from tests.web.console.work import at_work

EMPTY = (
    "/", "/links", "/links?q=nothing", "/dead-letters", "/dead-letters?closed=yes", "/escalations",
    "/escalations?every=yes", "/rules", "/silences", "/reports", "/setup", "/configuration", "/jobs", "/drafts",
    "/shadow", "/audit", "/audit?by=nobody&since=7d", "/silences?match=severity&for=never", "/job?key=not-yet",
)  # fmt: skip
FILLED = (
    *EMPTY, "/links?q=ruling&state=closed", "/links?q=%232", "/alert?alert=alert-1041", "/alert?alert=alert-1043",
    "/alert?alert=alert-1046&all=yes", "/rules?alert=alert-1044", "/rules?alert=nobody", "/reports?period=nonsense",
    "/reports?period=weekly&previous=yes", "/alert?alert=alert-1041&tz=Europe/Berlin&done=carried",
    "/alert?alert=nobody", "/nowhere", "/job?job=1", "/job?job=2", "/job?job=99", "/job/result?job=99",
    "/drafts?draft=calmer", "/drafts?draft=nobody", "/shadow?since=30d", "/audit?about=calmer",
)  # fmt: skip


@pytest.fixture
def full(console: ConsoleRig) -> ConsoleRig:
    filled(console)
    at_work(console)
    return console


@pytest.fixture
def read_only(full: ConsoleRig) -> ConsoleRig:
    full.role = Role.READ_ONLY
    return full


def check(console: ConsoleRig, path: str) -> None:
    page = console.get(path)
    assert page.status in (200, 404), path
    assert [] == page.unbalanced + page.open, "every element is closed, and none is a script or a style with text"
    assert not [given for _, given in page.elements if "style" in given], "no style in an element"
    assert not [name for _, given in page.elements for name in given if name.startswith("on")], "no script either"
    assert {"console"} == {given["src"].split("/")[1] for given in page.all("script")}
    assert 1 == page.levels.count(1)
    assert all(later - earlier <= 1 for earlier, later in zip(page.levels, page.levels[1:], strict=False)), page.levels
    assert not [given for given, has_label in page.labelled if not has_label], "every field says what it is for"
    ids = [given["id"] for _, given in page.elements if "id" in given]
    assert len(ids) == len(set(ids))
    assert set() == {one["aria-labelledby"] for _, one in page.elements if "aria-labelledby" in one} - set(ids)
    assert all(given.get("id") for _, given in page.elements if "data-refresh" in given)
    forms = [given for given in page.all("form") if given.get("method") == "post"]
    tokens = [given for given in page.all("input") if given.get("name") == "csrf_token"]
    assert ["a-token"] * len(forms) == [given["value"] for given in tokens]


@pytest.mark.parametrize("path", EMPTY)
def test_a_page_before_an_empty_store_is_whole(console: ConsoleRig, path: str) -> None:
    check(console, path)


def test_every_page_before_a_filled_store_is_whole(full: ConsoleRig) -> None:
    for path in FILLED:
        check(full, path)


def test_every_link_of_every_page_leads_to_a_page(full: ConsoleRig) -> None:
    seen: set[str] = set()
    waiting = ["/console/"]
    while waiting:
        address = waiting.pop()
        seen.add(address)
        answer = full.client.get(address)
        assert 200 == answer.status_code, address
        if not answer.content_type.startswith("text/html") or "attachment" in answer.headers.get(
            "Content-Disposition", ""
        ):
            continue
        page = full.get(address.removeprefix("/console"))
        links = [given["href"] for given in page.all("a") + page.all("link") if "href" in given]
        links += [given["src"] for given in page.all("script")]
        outside = [link for link in links if urlsplit(link).netloc]
        assert all(link.startswith("https://") for link in outside)
        waiting += [link for link in links if link.startswith("/") and link not in seen and link not in waiting]
    assert len(seen) > 25


def test_every_button_asks_for_an_address_that_there_is(full: ConsoleRig) -> None:
    adapter = full.app.url_map.bind("")
    for path in FILLED:
        for form in full.get(path).all("form"):
            adapter.match(form["action"], method=form["method"].upper())


def test_whoever_may_only_read_sees_no_button_that_changes_anything(read_only: ConsoleRig) -> None:
    for path in FILLED:
        page = read_only.get(path)
        assert {"/console/rules"} >= {form["action"] for form in page.all("form") if form["method"] == "post"}, path
    assert "may read" in read_only.get("/").text


def test_whoever_may_only_read_changes_nothing_by_a_form_of_their_own(read_only: ConsoleRig) -> None:
    before = read_only.operator.stored()
    for path in ("/alert", "/dead-letters", "/reconcile", "/job", "/jobs", "/drafts", "/backtest", "/silences"):
        assert 403 == read_only.post(path, alert="alert-1041", action="acknowledge", id="1", only="1:replay").status
    assert before == read_only.operator.stored()


def test_whoever_is_nobody_sees_no_page_and_presses_no_button(full: ConsoleRig) -> None:
    full.app.before_request_funcs[None].clear()
    for rule in full.app.url_map.iter_rules():
        if getattr(full.app.view_functions[rule.endpoint], "__access__", None) is Access.OPEN:
            continue
        path = rule.rule.replace("<path:_rest>", "nowhere")
        answers = [full.client.open(path, method=method) for method in (rule.methods or set()) - {"OPTIONS"}]
        assert {401} == {answer.status_code for answer in answers}, path
        assert not any("alert-10" in answer.text for answer in answers)


def test_every_view_says_what_it_asks_of_its_caller(console: ConsoleRig) -> None:
    asked = {
        rule.endpoint: (getattr(console.app.view_functions[rule.endpoint], "__access__", None), rule.methods or set())
        for rule in console.app.url_map.iter_rules()
    }
    assert not [endpoint for endpoint, (access, _) in asked.items() if access is None]
    changes = {endpoint for endpoint, (_, methods) in asked.items() if "POST" in methods} - {"console.explain"}
    assert {
        "console.act", "console.decide", "console.reconcile", "console.cancel_job", "console.start_job",
        "console.change_draft", "console.start_backtest", "console.change_silence",
    } == changes  # fmt: skip
    assert {Access.ADMIN} == {asked[endpoint][0] for endpoint in changes}
    open_to_all = {endpoint for endpoint, (access, _) in asked.items() if access is Access.OPEN}
    assert {"console.root", "console.without_slash", "console.static"} == open_to_all


def test_pages_are_kept_nowhere_and_load_nothing_from_elsewhere(console: ConsoleRig) -> None:
    page = console.get("/")
    assert HEADERS["Content-Security-Policy"] == page.headers["Content-Security-Policy"]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert ("no-store", "same-origin", "nosniff") == tuple(
        page.headers[name] for name in ("Cache-Control", "Referrer-Policy", "X-Content-Type-Options")
    )


def test_files_have_names_of_their_content_and_are_kept_for_ever(console: ConsoleRig) -> None:
    for name, asset in pages.assets().items():
        answer = console.client.get(f"/console/static/{name}")
        assert (200, asset.content, asset.content_type) == (answer.status_code, answer.data, answer.content_type)
        assert "immutable" in answer.headers["Cache-Control"]
        assert re.fullmatch(r"[a-z]+\.[0-9a-f]{12}\.(css|js|svg)", name)
    for name in ("style.css", "../pages.py", "%2e%2e/pages.py", "..%2fpages.py"):
        answer = console.client.get(f"/console/static/{name}")
        assert (404, "no-store") == (answer.status_code, answer.headers["Cache-Control"])


def test_the_root_leads_to_the_console(console: ConsoleRig) -> None:
    for path in ("/", "/console"):
        answer = console.client.get(path)
        assert (303, "/console/") == (answer.status_code, answer.headers["Location"])


def test_times_are_in_the_zone_that_was_chosen_and_it_is_remembered(full: ConsoleRig) -> None:
    def first_seen(path: str) -> str:
        found = re.search(r"<time datetime=\"[^\"]+\">([^<]+)</time>", full.get(path).html)
        assert found
        return found[1]

    in_utc = first_seen("/alert?alert=alert-1041")
    in_tokyo = first_seen("/alert?alert=alert-1041&tz=Asia/Tokyo")
    assert 9 == (int(in_tokyo[11:13]) - int(in_utc[11:13])) % 24
    assert in_tokyo == first_seen("/alert?alert=alert-1041")
    assert in_tokyo == first_seen("/alert?alert=alert-1041&tz=Nowhere/Land"), "a zone that is none changes nothing"


def test_the_form_of_the_zone_keeps_what_the_page_is_about(full: ConsoleRig) -> None:
    page = full.get("/links?q=ruling&state=closed&done=carried&tz=UTC")
    hidden = {given["name"]: given["value"] for given in page.all("input") if given.get("type") == "hidden"}
    assert {"q": "ruling", "state": "closed"} == hidden
