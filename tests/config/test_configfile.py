"""``bridge.yaml``: everything it can say, and every fault at once."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.bridge_yaml import load, parse
from app.domain.model.types import Urgency, Via
from app.domain.rules.rulebook import (
    Call,
    ConsoleRules,
    EscalationLevel,
    EscalationRules,
    EvidenceShows,
    Redaction,
    Rule,
    RuleAction,
    Rulebook,
    Silence,
    Sla,
    TruthVouchCalls,
)
from app.errors import ConfigFault, Fault

EXAMPLE = Path(__file__).parents[2] / "docs" / "bridge.example.yaml"


def faults(text: str) -> list[Fault]:
    with pytest.raises(ConfigFault) as refusal:
        parse(text)
    return list(refusal.value.faults)


def test_the_example_in_the_docs_is_a_good_file():
    assert load(EXAMPLE) == Rulebook(
        rules=(
            Rule("Known noise", 'category == "Paraphrase" and severity == "medium"', RuleAction.SUPPRESS),
            Rule(
                name="Critical Hallucinations → Incident",
                trigger="confidence < 0.5",
                action=RuleAction.CREATE_INCIDENT,
                title="CRITICAL: Hallucination detected",
                urgency=Urgency.HIGH,
                service_id="PXXXXXX",
                escalation_policy_id="PXXXXXX",
            ),
            Rule(
                name="Leaked personal data",
                trigger='type == "pii" and severity >= high',
                action=RuleAction.CREATE_INCIDENT,
                urgency=Urgency.HIGH,
            ),
            Rule(
                name="Flapping freshness alerts",
                trigger='category == "Outdated"',
                action=RuleAction.CREATE_INCIDENT,
                urgency=Urgency.LOW,
                hold_resolve_minutes=5,
            ),
        ),
        silences=(
            Silence(
                name="Release of the new model",
                match='type == "hallucination" and model == "gpt-4o"',
                owner="dana",
                reason="answers are being corrected",
                until=datetime(2026, 1, 31, 18, tzinfo=UTC),
                starts=datetime(2026, 1, 31, 16, tzinfo=UTC),
            ),
        ),
        via=Via.REST,
        region="us",
        service_id="PXXXXXX",
        escalation_policy_id="PXXXXXX",
        escalation=EscalationRules(
            policy_id="PXXXXXX",
            levels=(
                EscalationLevel(1, 15, "Wait 15 minutes then escalate"),
                EscalationLevel(2, 30, "Wait 30 minutes then escalate manager"),
            ),
        ),
        sla={"critical": Sla(15, 60), "high": Sla(60, 240)},
        version=load(EXAMPLE).version,
    )


def test_an_absent_file_means_the_defaults(tmp_path: Path):
    assert Rulebook() == load(tmp_path / "bridge.yaml")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "rules:\nseverity_map:\nescalation:\npagerduty:\n"])
def test_a_file_that_says_nothing_means_the_defaults(text: str):
    read = parse(text)
    assert (Rulebook().rules, Rulebook().severity_map, Rulebook().escalation) == (
        read.rules,
        read.severity_map,
        read.escalation,
    )


def test_the_version_is_the_start_of_the_texts_hash():
    assert parse("").version == "e3b0c44298fc"
    assert parse("# a\n").version != parse("# b\n").version


def test_the_severity_map_is_laid_over_the_defaults():
    text = "severity_map: {Medium: low, high: none, low: null, warning: high}"
    assert parse(text).severity_map == {
        "critical": Urgency.HIGH,
        "high": None,
        "medium": Urgency.LOW,
        "low": None,
        "warning": Urgency.HIGH,
    }


def test_a_call_keeps_the_default_of_what_it_does_not_say():
    calls = parse("truthvouch: {calls: {acknowledge: {method: POST, path: '/alerts/{alert_id}/acknowledge'}}}").calls
    default = TruthVouchCalls()
    assert Call("POST", "/alerts/{alert_id}/acknowledge", default.acknowledge.body) == calls.acknowledge
    assert default.resolve == calls.resolve


def test_a_body_may_hold_whatever_json_knows():
    text = 'truthvouch: {calls: {resolve: {body: {a: [1, 2.5, true, null, "x"], b: {c: 0x10}}}}}'
    assert parse(text).calls.resolve.body == {"a": [1, 2.5, True, None, "x"], "b": {"c": 16}}


def test_an_empty_body_is_a_body():
    assert parse("truthvouch: {calls: {acknowledge: {body: {}}}}").calls.acknowledge.body == {}


def test_a_notes_call_is_made_where_one_is_configured():
    assert parse("truthvouch: {calls: {note: null}}").calls.note is None
    assert parse("truthvouch: {calls: {note: {path: /notes}}}").calls.note == Call(
        "POST", "/notes", {"note": "{resolution}"}
    )


def test_what_else_the_file_may_say():
    read = parse(
        "pagerduty: {via: events, region: eu}\n"
        "truthvouch: {replay_window_seconds: 300, dashboard_url: 'http://tv/{alert_id}'}\n"
        "escalation: {raise_urgency: true, levels: [{level: 1, timeout_minutes: 0.5}]}\n"
        "redaction: {send_claim: false, send_query: true}\n"
        "rules: [{name: all, trigger: true, action: {type: create_incident}}]\n"
        "console: {evidence_links: true, evidence_shows: everything}\n"
    )
    assert (Via.EVENTS, "eu", 300.0, "http://tv/{alert_id}") == (
        read.via,
        read.region,
        read.replay_window_seconds,
        read.dashboard_url,
    )
    assert EscalationRules(None, (EscalationLevel(1, 0.5),), raise_urgency=True) == read.escalation
    assert Redaction(send_claim=False, send_query=True) == read.redaction
    assert ConsoleRules(evidence_links=True, evidence_shows=EvidenceShows.EVERYTHING) == read.console
    assert ConsoleRules(evidence_links=False, evidence_shows=EvidenceShows.REDACTED) == parse("").console
    assert (Rule("all", "true", RuleAction.CREATE_INCIDENT),) == read.rules


BROKEN = """\
pagerduty:
  regio: us
  service_id: 12
  via: mail
severity_map: {critical: urgent}
rules:
  - name: a
    trigger: confidence <
    action: {type: create_incident, urgency: none, titel: x}
  - name: a
    trigger: severity = critical
    action: {type: suppress, urgency: high}
  - {name: b}
escalation:
  levels:
    - {level: 2, timeout_minutes: 0}
sla: {critical: {acknowledge_minutes: -1}}
redaction: {send_people: yes}
console: {evidence_link: true, evidence_shows: all}
extra: 1
"""


def test_every_fault_is_named_at_once_with_its_path_and_line_in_order():
    assert [(fault.path, fault.line) for fault in faults(BROKEN)] == [
        ("pagerduty.regio", 2),
        ("pagerduty.service_id", 3),
        ("pagerduty.via", 4),
        ("severity_map.critical", 5),
        ("rules[0].trigger", 8),
        ("rules[0].action.titel", 9),
        ("rules[0].action.urgency", 9),
        ("rules[1].name", 10),
        ("rules[1].action.urgency", 12),
        ("rules[2].trigger", 13),
        ("rules[2].action", 13),
        ("escalation.levels[0].level", 16),
        ("escalation.levels[0].timeout_minutes", 16),
        ("sla.critical.acknowledge_minutes", 17),
        ("redaction.send_people", 18),
        ("console.evidence_link", 19),
        ("console.evidence_shows", 19),
        ("extra", 20),
    ]


def test_the_message_says_what_is_wrong_and_what_would_be_right():
    with pytest.raises(ConfigFault) as refusal:
        parse(BROKEN, "conf/bridge.yaml")
    lines = str(refusal.value).splitlines()
    assert lines[0] == "conf/bridge.yaml: 18 faults"
    assert "  pagerduty.regio, line 2: unknown key; did you mean region?" in lines
    assert "  rules[0].action.urgency, line 9: is 'none'; must be high or low" in lines
    assert any("the trigger ends too early (at character 13)" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("rules: {}", "rules"),
        ("rules: [x]", "rules[0]"),
        ("rules: [{trigger: blocked, action: {type: suppress}}]", "rules[0].name"),
        ("rules: [{name: a, trigger: 5, action: {type: suppress}}]", "rules[0].trigger"),
        ("rules: [{name: a, trigger: blocked, action: {type: page}}]", "rules[0].action.type"),
        ("rules: [{name: a, trigger: blocked, action: {}}]", "rules[0].action.type"),
        ("rules: [{name: a, trigger: blocked, action: suppress}]", "rules[0].action"),
        ("rules: [{name: ' ', trigger: blocked, action: {type: suppress}}]", "rules[0].name"),
        ("pagerduty: {service_id: 'P X'}", "pagerduty.service_id"),
        ("pagerduty: us", "pagerduty"),
        ("pagerduty: {region: US}", "pagerduty.region"),
        ("severity_map: {5: low}", "severity_map.5"),
        ("truthvouch: {dashboard_url: 'ftp://x'}", "truthvouch.dashboard_url"),
        ("truthvouch: {dashboard_url: 'https://x/{id}'}", "truthvouch.dashboard_url"),
        ("truthvouch: {dashboard_url: 'https://[x'}", "truthvouch.dashboard_url"),
        ("truthvouch: {dashboard_url: 'https://x/a b'}", "truthvouch.dashboard_url"),
        ("truthvouch: {replay_window_seconds: -1}", "truthvouch.replay_window_seconds"),
        ("truthvouch: {reconcile_calls_per_hour: -1}", "truthvouch.reconcile_calls_per_hour"),
        ("truthvouch: {reconcile_calls_per_hour: 1.5}", "truthvouch.reconcile_calls_per_hour"),
        ("truthvouch: {calls: {resolve: {method: GET}}}", "truthvouch.calls.resolve.method"),
        ("truthvouch: {calls: {resolve: {path: alerts}}}", "truthvouch.calls.resolve.path"),
        ("truthvouch: {calls: {resolve: {path: '//evil.example.com/x'}}}", "truthvouch.calls.resolve.path"),
        ("truthvouch: {calls: {resolve: {path: '/a/{id}'}}}", "truthvouch.calls.resolve.path"),
        ("truthvouch: {calls: {resolve: {body: [1]}}}", "truthvouch.calls.resolve.body"),
        ("truthvouch: {calls: {note: {method: PUT}}}", "truthvouch.calls.note.path"),
        ("escalation: {levels: [{level: 1}]}", "escalation.levels[0].timeout_minutes"),
        ("escalation: {levels: [{level: true, timeout_minutes: 1}]}", "escalation.levels[0].level"),
        ("escalation: {levels: [{level: 1, timeout_minutes: .inf}]}", "escalation.levels[0].timeout_minutes"),
        ("escalation: {levels: [{level: 1, timeout_minutes: 1e9}]}", "escalation.levels[0].timeout_minutes"),
        ("escalation: {levels: [15]}", "escalation.levels[0]"),
        ("sla: {critical: 15}", "sla.critical"),
    ],
)
def test_a_value_that_cannot_be_is_a_fault_at_its_place(text: str, path: str):
    assert [path] == [fault.path for fault in faults(text)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a", "not a list"),
        ("a: [1", "is no YAML"),
        ("rules: []\nrules: []", "duplicate key"),
        ("a: &x 1\nb: *x", "anchors and aliases"),
        ("a: !!python/object/apply:os.system [ls]", "the tag"),
        ("a: " + "[" * 60_000, "nests deeper"),
        ("--- \n---\n", "another document"),
        ('a: "\x00"', "is no YAML"),
        ("a: 2024-13-45", "is no YAML"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_before_it_is_built(text: str, problem: str):
    only = faults(text)
    assert len(only) == 1
    assert problem in only[0].problem


def test_a_bomb_of_aliases_is_refused():
    bomb = "a: &a [x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "anchors" in faults(bomb)[0].problem


_KEY_WORDS = (
    "pagerduty truthvouch severity_map rules escalation levels sla redaction calls note resolve body path method name"
    " trigger action type title urgency level timeout_minutes critical via region service_id dashboard_url send_people"
)
_SIGNS = "- : { } [ ] , & * | > ! % @ ? # ' a high none true -1 .nan 0x1 2024-01-01 1e9"
_KEYS = _KEY_WORDS.split()

_pieces = st.sampled_from([*_SIGNS.split(), *(f"{key}:" for key in _KEYS)])
_files = st.lists(st.tuples(st.sampled_from([" ", "\n", "\n  ", "\n    ", "\n- "]), _pieces), max_size=25)
_values = st.sampled_from(
    [None, True, 0, 1, 2.5, -1, "", "high", "none", "suppress", "/x", "http://x", "confidence < 1"]
)
_trees = st.recursive(
    _values,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5)),
    max_leaves=20,
)


def read(text: str) -> Rulebook | ConfigFault:
    try:
        return parse(text)
    except ConfigFault as refusal:
        return refusal


@given(st.one_of(_files.map(lambda parts: "".join(map("".join, parts))), _trees.map(json.dumps), st.text(max_size=40)))
def test_every_text_is_a_rulebook_or_a_list_of_faults(text: str):
    answer = read(text)
    assert isinstance(answer, Rulebook) or answer.faults


def test_too_many_rules_are_refused():
    rule = "  - {name: r%d, trigger: blocked, action: {type: suppress}}\n"
    many = "rules:\n" + "".join(rule % number for number in range(501))
    assert ["rules"] == [fault.path for fault in faults(many)]


def test_a_file_too_large_or_not_in_utf_8_or_no_file_is_refused(tmp_path: Path):
    large, latin = tmp_path / "large.yaml", tmp_path / "latin.yaml"
    large.write_text("#" * 300_000, "utf-8")
    latin.write_bytes(b"# caf\xe9\n")
    for path, problem in (
        (large, "larger than 256 KiB"),
        (latin, "not written in UTF-8"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(ConfigFault, match=problem):
            load(path)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path):
    path = tmp_path / "bridge.yaml"
    path.write_bytes(b"\xef\xbb\xbfpagerduty: {region: eu}\n")
    assert load(path).region == "eu"


# ------------------------------------------------------------------------------------- silences, drafts and holds

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


def silenced(until: object = "2026-05-05T09:00:00Z", **more: object) -> str:
    """A file with one silence."""
    entry = {"name": "s", "match": "severity == low", "owner": "dana", "reason": "r", "until": until, **more}
    return "silences:\n  - {" + ", ".join(f"{key}: {value}" for key, value in entry.items() if value) + "}\n"


@pytest.mark.parametrize(
    "until", ["2026-05-05T09:00:00Z", "'2026-05-05T09:00:00Z'", "2026-05-05 09:00:00", "2026-05-05T11:00:00+02:00"]
)
def test_the_end_of_a_silence_is_read_with_and_without_quotes(until: str):
    [silence] = parse(silenced(until), now=NOW).silences
    assert datetime(2026, 5, 5, 9, 0, tzinfo=UTC) == silence.until


@pytest.mark.parametrize("key", ["name", "match", "owner", "reason", "until"])
def test_a_silence_needs_everything_but_a_beginning(key: str):
    assert [f"silences[0].{key}"] == [fault.path for fault in faults(silenced(**{key: None}))]


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"until": "2999-01-01T00:00:00Z"}, "silences[0].until"),
        ({"until": "soon"}, "silences[0].until"),
        ({"until": "12"}, "silences[0].until"),
        ({"from": "2026-05-05T09:00:00Z"}, "silences[0].until"),
        ({"match": "severity <"}, "silences[0].match"),
        ({"ower": "dana"}, "silences[0].ower"),
    ],
)
def test_a_silence_that_cannot_be_meant_is_a_fault(more: dict[str, object], path: str):
    assert path in [fault.path for fault in faults(silenced(**more))]


def test_a_silence_ends_at_most_31_days_ahead_and_a_file_stays_good_while_time_passes():
    text = silenced((NOW + timedelta(days=31)).isoformat())
    for days in (0, 1, 31, 3_000):
        assert 1 == len(parse(text, now=NOW + timedelta(days=days)).silences)
    with pytest.raises(ConfigFault, match="more than 31 days ahead"):
        parse(text, now=NOW - timedelta(seconds=1))


def test_two_silences_of_one_name_are_a_fault():
    entry = silenced().partition("\n")[2]
    assert ["silences[1].name"] == [fault.path for fault in faults("silences:\n" + entry + entry)]


@pytest.mark.parametrize(("minutes", "held"), [("0", 0), ("0.5", 0.5), ("1440", 1440)])
def test_a_rule_may_hold_resolves_back_for_a_day_at_most(minutes: str, held: float):
    text = "rules: [{{name: a, trigger: 'true', action: {{type: create_incident, hold_resolve_minutes: {}}}}}]\n"
    assert held == parse(text.format(minutes)).rules[0].hold_resolve_minutes
    for wrong in ("-1", "1441", "soon", "true"):
        assert ["rules[0].action.hold_resolve_minutes"] == [fault.path for fault in faults(text.format(wrong))]


def test_a_draft_is_named_by_its_path():
    assert "drafts/new.yaml" == parse("shadow: drafts/new.yaml\n").shadow
    assert ["shadow"] == [fault.path for fault in faults("shadow: [a]\n")]
