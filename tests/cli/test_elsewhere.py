"""Commands on a bridge elsewhere: the same answers as on its own machine, and clear words where it does not answer."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import WSGIRequestHandler, make_server

from app.bootstrap.container import Container
from app.bootstrap.jobs import run_job
from app.cli import FROM_ELSEWHERE, leaves, main
from app.config.settings import Settings
from app.domain.model.types import Side
from app.ports.jobs import Job, JobRefused
from app.services.jobs.run import RunWaitingJobs
from app.services.reconciliation.context import Findings
from app.store.database import StoredKeyValues
from app.store.health import WORKER_SEEN
from app.store.jobs import StoredJobs
from tests.cli.test_cli_reconcile import CALLS, HALF, MOVED, STRANGER
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


class Quiet(WSGIRequestHandler):
    """It writes nothing between the lines of a command, which runs in the same process here."""

    def log(self, type: str, message: str, *given: Any) -> None:
        pass


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    with an_api(tmp_path / "store") as api:
        people(api)
        server = make_server("127.0.0.1", 0, api.app, threaded=True, request_handler=Quiet)
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
        ["links", "list", "--search", "a"],
        ["links", "list", "--search", "a", "--frozen", "--since", "3650d", "--limit", "1"],
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
    for words in (["links", "list"], ["links", "list", "--search", "a"], ["dead-letters", "list"], ["timeline", "a1"]):
        assert elsewhere.here(*words).stdout == elsewhere.run(*words).stdout


def test_a_long_list_is_read_piece_by_piece(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.bootstrap.elsewhere.MOST_ROWS", 1)
    assert 2 == len(parsed(elsewhere.run("links", "list", "--json")))
    assert 2 == len(parsed(elsewhere.run("links", "list", "--search", "a", "--json")))


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


# ---------------------------------------------------------------------------------------- which work so, and which not

GIVEN: Mapping[str, tuple[str, ...]] = {
    "escalation arm": ("Q1", "--minutes", "5"),
    "escalation plan": ("Q1",),
    "incidents acknowledge": ("Q1",),
    "incidents create": ("--title", "x"),
    "incidents notify": ("Q1", "--message", "x"),
    "incidents resolve": ("Q1",),
    "jobs run": ("1", "r"),
    "rules drafts delete": ("x",),
    "rules drafts save": ("x", __file__),
    "rules drafts shadow": ("x",),
    "rules drafts show": ("x",),
    "store backup": ("x",),
    "store restore": (str(Path(__file__).parent),),
    "tokens add": ("x", "--role", "admin"),
    "tokens revoke": ("x",),
}
"""What those that do not work from elsewhere need before they say so."""
ONLY_HERE = (
    "config check", "config pagerduty", "console-link", "demo", "doctor", "escalation arm", "escalation drill",
    "escalation plan", "incidents acknowledge", "incidents create", "incidents list", "incidents notify",
    "incidents resolve", "jobs run", "migrate", "rules backtest", "rules check", "rules drafts delete",
    "rules drafts list", "rules drafts save", "rules drafts shadow", "rules drafts show", "rules shadow", "serve",
    "store backup", "store compact", "store copy", "store restore", "tokens add", "tokens list", "tokens revoke",
    "worker",
)  # fmt: skip


def test_every_command_works_from_elsewhere_or_only_here():
    assert sorted((*ONLY_HERE, *FROM_ELSEWHERE)) == sorted(called for called, _ in leaves(main))


@pytest.mark.parametrize("called", ONLY_HERE)
def test_what_works_only_where_the_bridge_runs_says_so(tmp_path: Path, called: str):
    (tmp_path / "token").write_text(TOKEN, "utf-8")
    where = ["--url", "http://127.0.0.1:9", "--token-file", str(tmp_path / "token")]
    refused = CliRunner().invoke(main, [*where, *called.split(), *GIVEN.get(called, ())])
    sentence = "--url does not go with this command: run it where the bridge runs.\n"
    assert (2, sentence, "") == (refused.exit_code, refused.stderr, refused.stdout)


def test_what_works_from_elsewhere_asks_that_bridge(tmp_path: Path):
    """And nothing here: there is no store, and nobody answers there."""
    (tmp_path / "token").write_text(TOKEN, "utf-8")
    (tmp_path / "draft.yaml").write_text("rules: []", "utf-8")
    given = {
        "timeline": ("a1",), "evidence revoke": ("a1",), "rules explain": ("a1",), "dead-letters show": ("1",),
        "dead-letters replay": ("1",), "dead-letters discard": ("1", "--yes"), "links show": ("a1",),
        "links thaw": ("a1",), "links erase": ("a1", "--yes"), "silences end": ("x",), "escalation cancel": ("Q1",),
        "silences add": ("--match", "true", "--for", "1h", "--reason", "x", "--owner", "x"), "escalation now": ("Q1",),
        "jobs show": ("1",), "jobs cancel": ("1",), "jobs start replay": ("1",), "jobs start erase": ("a1", "--yes"),
    }  # fmt: skip
    url = f"http://127.0.0.1:{free_port()}"
    where = ["--url", url, "--token-file", str(tmp_path / "token")]
    for called in sorted(FROM_ELSEWHERE - {"man"}):
        asked = CliRunner().invoke(main, [*where, *called.split(), *given.get(called, ())])
        assert (2, True) == (asked.exit_code, f"{url} does not answer" in asked.stderr), (called, asked.output)


# ---------------------------------------------------------------------------------------------------- erase, reconcile


def test_alerts_are_erased_there_and_each_is_told_of(elsewhere: Elsewhere):
    there, here = (run("links", "erase", "a1", "nobody", "--json") for run in (elsewhere.run, elsewhere.here))
    assert (2, 2, here.stderr) == (here.exit_code, there.exit_code, there.stderr)
    asked = elsewhere.run("links", "erase", "a1")
    assert (1, True, True) == (asked.exit_code, "ERASED" in asked.stdout, "Erase 1?" in asked.stderr)
    assert elsewhere.here("links", "erase", "a1").stdout == asked.stdout
    erased = parsed(elsewhere.run("links", "erase", "a1", "nobody", "--yes", "--json"), 1)
    assert ["erased", "no_such_link"] == [one["outcome"] for one in erased]
    assert elsewhere.api.rig.link("a1").erased_at is not None
    again = [run("links", "erase", "a1", "--yes") for run in (elsewhere.run, elsewhere.here)]
    assert ({0}, 1) == ({one.exit_code for one in again}, len({one.stdout for one in again})), again[0].output
    assert 1 == elsewhere.run("links", "erase", "nobody", "--yes").exit_code


@pytest.fixture
def jobs_run(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The worker there runs the jobs that wait."""
    monkeypatch.setattr("app.bootstrap.elsewhere.FOLLOW_SECONDS", 0.02)
    environ = {"BRIDGE_DATA_DIR": str(elsewhere.folder / "store"), "BRIDGE_CONFIG": str(elsewhere.folder / "none.yaml")}
    made, stop = Container(Settings.from_env(environ)), threading.Event()

    def start(job: Job, run_id: str) -> Any:
        run_job(made, cast(Any, None))(job.job_id, run_id)
        return SimpleNamespace(poll=lambda: 0, kill=lambda: None)

    run_waiting = RunWaitingJobs(made.database, StoredJobs(), start)

    def work() -> None:
        while not stop.wait(0.02):
            run_waiting()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()
    made.__exit__()


@pytest.mark.usefixtures("jobs_run")
@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Findings(calls=CALLS, reads=2, links=3, budget_left=7), (0, 0)),
        (Findings((MOVED, STRANGER), (), 1, calls=CALLS, reads=2), (0, 1)),
        (Findings((STRANGER,), calls=CALLS, reads=2), (0, 0)),
        (HALF, (0, 1)),
        (Findings(complete=False, faults=("TruthVouch: nobody answers",)), (2, 2)),
    ],
)
def test_a_reconciliation_there_says_what_one_here_says(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, found: Findings, code: tuple[int, int]
):
    asked: list[tuple[Any, bool]] = []

    def reconcile(since: Any, dry_run: bool, progress: Callable[..., None]) -> Findings:
        asked.append((since, dry_run))
        progress(Side.PAGERDUTY, 1, 3)
        return found

    monkeypatch.setattr(Container, "reconcile", property(lambda _: reconcile))
    words = (["reconcile"], ["reconcile", "--dry-run"], ["reconcile", "--dry-run", "--since", "2026-05-04T09:00:00Z"])
    for given, exit_code in zip(words, (*code, code[1]), strict=True):
        for more in ([], ["--json"]):
            there, here = elsewhere.run(*given, *more), elsewhere.here(*given, *more)
            assert (exit_code, exit_code) == (here.exit_code, there.exit_code), there.output
            assert (here.stdout, here.stderr) == (there.stdout, there.stderr)
    assert {(None, False), (None, True), (datetime(2026, 5, 4, 9, tzinfo=UTC), True)} == set(asked)
    acts = [one for one in parsed(elsewhere.here("audit", "list", "--json")) if one["action"] == "reconcile"]
    assert {"api", "cli"} == {one["way"] for one in acts}


@pytest.mark.usefixtures("jobs_run")
def test_a_reconciliation_that_breaks_there_is_told_with_its_job(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch):
    def reconcile(*_: object) -> Findings:
        raise JobRefused("Not today.")

    monkeypatch.setattr(Container, "reconcile", property(lambda _: reconcile))
    broken = elsewhere.run("reconcile")
    assert (2, "Job 3: Not today.\n") == (broken.exit_code, broken.stderr)


def test_a_reconciliation_there_without_a_worker_says_that_nobody_does_it(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.bootstrap.elsewhere.TIMEOUT_SECONDS", 0.0)
    with elsewhere.api.rig.database.begin() as tx:
        StoredKeyValues().put(tx, WORKER_SEEN, "2026-01-01T00:00:00+00:00")
    stored = elsewhere.run("reconcile", "--json")
    assert (1, "", True) == (stored.exit_code, stored.stdout, "no worker is running" in stored.stderr)


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
