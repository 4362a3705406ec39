"""Commands on a bridge elsewhere: the same answers as on its own machine, and clear words where it does not answer."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from app.cli import main
from tests.system.processes import free_port
from tests.web.test_api import TOKEN, Api, an_api, people


class Elsewhere:
    """The same store by both ways: over the API of its bridge, and on its machine."""

    def __init__(self, api: Api, url: str, folder: Path) -> None:
        self.api, self.url, self.folder = api, url, folder
        self.token = folder / "token"
        self.token.write_text(f"{TOKEN}\n", "utf-8")

    def run(self, *words: str, url: str = "") -> Result:
        where = ["--url", url or self.url, "--token-file", str(self.token)]
        return CliRunner().invoke(main, [*where, *words], env={"BRIDGE_DATA_DIR": str(self.folder / "nothing here")})

    def here(self, *words: str) -> Result:
        data_dir = self.folder / "store"
        return CliRunner().invoke(
            main, list(words), env={"BRIDGE_DATA_DIR": str(data_dir), "BRIDGE_CONFIG": str(data_dir / "none.yaml")}
        )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    with an_api(tmp_path / "store") as api:
        people(api)
        server = make_server("127.0.0.1", 0, api.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Elsewhere(api, f"http://127.0.0.1:{server.server_port}/", tmp_path)
        server.shutdown()
        thread.join()
        server.server_close()


def parsed(result: Result, code: int = 0) -> Any:
    assert code == result.exit_code, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    "words",
    [
        ["links", "list"],
        ["links", "list", "--open", "--limit", "1"],
        ["links", "show", "alert/2 ü"],
        ["dead-letters", "list"],
        ["dead-letters", "show", "1"],
        ["timeline", "a1"],
        ["timeline", "Q2"],
        ["escalation", "list"],
        ["stats", "--from", "2026-01-01", "--to", "2026-01-31"],
        ["silences", "list"],
        ["jobs", "list"],
        ["jobs", "show", "1"],
        ["audit", "list", "--subject", "deploy/2"],
        ["rules", "explain", "a1"],
        ["report", "--from", "2026-01-01", "--to", "2026-01-31", "--tz", "Europe/Berlin"],
    ],
)
def test_what_is_read_is_the_same_as_on_the_spot(elsewhere: Elsewhere, words: list[str]):
    def without_the_moment(found: Any) -> Any:
        """A report says when it was made."""
        if isinstance(found, dict):
            return {name: without_the_moment(one) for name, one in found.items() if name not in ("as_of", "until")}
        return [without_the_moment(one) for one in found] if isinstance(found, list) else found

    there, here = parsed(elsewhere.run(*words, "--json")), parsed(elsewhere.here(*words, "--json"))
    assert without_the_moment(here) == without_the_moment(there)
    assert here


def test_tables_are_the_same_too(elsewhere: Elsewhere):
    for words in (["links", "list"], ["dead-letters", "list"], ["timeline", "a1"]):
        assert elsewhere.here(*words).stdout == elsewhere.run(*words).stdout


def test_a_long_list_is_read_piece_by_piece(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.bootstrap.elsewhere.MOST_ROWS", 1)
    assert 2 == len(parsed(elsewhere.run("links", "list", "--json")))


def test_commands_are_done_there(elsewhere: Elsewhere):
    assert "thawed" == parsed(elsewhere.run("links", "thaw", "a1", "--json"))[0]["outcome"]
    assert "not_frozen" == parsed(elsewhere.run("links", "thaw", "a1", "--json"), 1)[0]["outcome"]
    assert ["replayed", "still_unreadable"] == [
        one["outcome"] for one in parsed(elsewhere.run("dead-letters", "replay", "--all", "--json"), 1)
    ]
    assert (
        "no_such_dead_letter"
        == parsed(elsewhere.run("dead-letters", "discard", "99", "--yes", "--json"), 1)[0]["outcome"]
    )


def test_an_escalation_is_hurried_and_ended_there(elsewhere: Elsewhere):
    def outcome(*words: str, code: int = 0) -> str:
        return str(parsed(elsewhere.run("escalation", *words, "--json"), code)[0]["outcome"])

    assert "hurried" == outcome("now", "Q1", "--raise-urgency", "--moves", "0")
    again = elsewhere.run("escalation", "now", "Q1", "--moves", "0")
    assert (0, "Q1: Already asked for by api:admin; nothing more is asked for.\n") == (again.exit_code, again.stdout)
    escalation = elsewhere.api.app.extensions["bridge"].overview.escalation("Q1")
    assert escalation.plan.raise_urgency
    assert "cancelled" == outcome("cancel", "Q1")
    for word in ("now", "cancel"):
        assert ("not_armed", "number_only") == (outcome(word, "Q9", code=1), outcome(word, "#12", code=1))


def test_evidence_links_are_revoked_there(elsewhere: Elsewhere):
    revoked = parsed(elsewhere.run("evidence", "revoke", "alert/2 ü", "nobody", "--json"), 1)
    assert {"all": False, "alerts": ["alert/2 ü"]} == revoked
    assert "every evidence link" in elsewhere.run("evidence", "revoke", "--all").stdout
    done = [
        one for one in parsed(elsewhere.here("audit", "list", "--json")) if one["action"] == "revoke_evidence_links"
    ]
    assert [("", "api"), ("alert/2 ü", "api")] == [(one["subject"], one["way"]) for one in done]


def test_what_is_not_there_is_said(elsewhere: Elsewhere):
    for words in (["links", "show", "nobody"], ["timeline", "nobody"], ["dead-letters", "show", "99"]):
        assert 1 == elsewhere.run(*words).exit_code


def test_a_period_that_is_none_is_said_as_here(elsewhere: Elsewhere):
    there, here = elsewhere.run("stats", "--period", "never"), elsewhere.here("stats", "--period", "never")
    assert (2, 2) == (here.exit_code, there.exit_code)
    assert here.output in there.output


def test_whoever_does_not_answer_is_named(elsewhere: Elsewhere):
    gone = elsewhere.run("links", "list", url=f"http://127.0.0.1:{free_port()}")
    assert 2 == gone.exit_code
    assert "does not answer (connect_failed)" in gone.output
    none = elsewhere.run("links", "list", url="bridge.example.com")
    assert (2, True) == (none.exit_code, "write https://" in none.output)
    no_bridge = elsewhere.run("links", "list", url=f"{elsewhere.url}nowhere")
    assert (2, True) == (no_bridge.exit_code, "no such address" in no_bridge.output)


def test_a_wrong_token_is_said_and_never_shown(elsewhere: Elsewhere):
    elsewhere.token.write_text("a wrong token", "utf-8")
    refused = elsewhere.run("links", "list")
    assert (2, True, False) == (
        refused.exit_code,
        "refuses: the token" in refused.output,
        "wrong token" in refused.output,
    )


def test_without_a_token_nothing_is_asked(elsewhere: Elsewhere):
    refused = CliRunner().invoke(main, ["--url", elsewhere.url, "links", "list"])
    assert (2, True) == (refused.exit_code, "--token-file" in refused.output)


@pytest.mark.parametrize("words", [["rules", "backtest"], ["escalation", "arm", "Q1", "--minutes", "5"], ["reconcile"]])
def test_what_needs_the_store_says_so(elsewhere: Elsewhere, words: list[str]):
    refused = elsewhere.run(*words)
    assert (2, True) == (refused.exit_code, "run it where the bridge runs" in refused.output)


def test_the_rules_there_are_listed_and_asked(elsewhere: Elsewhere, tmp_path: Path):
    there, here = parsed(elsewhere.run("rules", "list", "--json")), parsed(elsewhere.here("rules", "list", "--json"))
    assert (here["version"], here["severity_map"]) == (there["version"], there["severity_map"])
    assert [None] == [one["matched"] for one in there["silences"]], "nothing is counted over the API"
    assert "deploy/2" in elsewhere.run("rules", "list").stdout
    (tmp_path / "alert.json").write_text('{"alertId": "a9", "severity": "critical"}', "utf-8")
    assert "An incident of high urgency" in elsewhere.run("rules", "explain", str(tmp_path / "alert.json")).stdout
    assert 1 == elsewhere.run("rules", "explain", "nobody").exit_code
    (tmp_path / "alert.json").write_text('{"type": "webhook.ping"}', "utf-8")
    refused = elsewhere.run("rules", "explain", str(tmp_path / "alert.json"))
    assert (2, True) == (refused.exit_code, "about no alert" in refused.stderr)


def test_a_silence_is_made_and_ended_there(elsewhere: Elsewhere):
    add = ("silences", "add", "--for", "1h", "--reason", "drill", "--name", "drill", "--owner", "dana", "--match")
    made = parsed(elsewhere.run(*add, 'severity == "high"', "--json"))
    assert (0, "store") == (made["would_have_silenced"], made["changed"][0].partition(":")[0])
    assert {"deploy/2", "drill"} == {one["name"] for one in parsed(elsewhere.run("silences", "list", "--json"))}
    assert 2 == elsewhere.run(*add, "severity <").exit_code
    assert 2 == elsewhere.run(*add, "true", "--json").exit_code  # every alert, and nobody is asked
    assert "did you mean model?" in elsewhere.run(*add, 'modle == "x"', "--yes").stderr
    assert "ended" == parsed(elsewhere.run("silences", "end", "drill", "--json"))[0]["outcome"]
    assert 1 == elsewhere.run("silences", "end", "drill").exit_code


def test_jobs_are_started_and_ended_there(elsewhere: Elsewhere, tmp_path: Path):
    (tmp_path / "draft.yaml").write_text("rules: []", "utf-8")
    started = [
        parsed(elsewhere.run("jobs", "start", *words, "--json"))["job_id"]
        for words in (["backtest", "--config", str(tmp_path / "draft.yaml")], ["report"], ["replay", "--all"])
    ]
    assert [3, 4, 5] == started
    wanted = [elsewhere.api.app.extensions["bridge"].jobs_overview.job(number).wanted for number in started]
    assert ("rules: []", "monthly", ()) == (wanted[0].text, wanted[1].period, wanted[2].dead_letters)
    assert "cancel_asked" == parsed(elsewhere.run("jobs", "cancel", "4", "--json"))[0]["outcome"]
    assert "ü,1\n" == elsewhere.run("jobs", "show", "1", "-o", "-").stdout
    assert 1 == elsewhere.run("jobs", "show", "2", "-o", "-").exit_code
