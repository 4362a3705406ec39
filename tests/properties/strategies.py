"""Alerts, rulebooks and triggers of every kind, for the property tests."""

from hypothesis import strategies as st

from app.domain.model.types import Alert, AlertId, Urgency
from app.domain.rules.condition import (
    Both,
    Compare,
    Constant,
    Contains,
    Either,
    Expression,
    Field,
    Flag,
    Missing,
    Not,
    OneOf,
)
from app.domain.rules.rulebook import DEFAULT_SEVERITY_MAP, Redaction, Rule, RuleAction, Rulebook
from app.domain.rules.trigger import SHARE_FIELDS, TEXT_FIELDS

SEVERITIES = ("critical", "high", "medium", "low")
OWN_NAMES = ("score", "blocked", "scan_duration_ms", "region_2")
"""Fields of TruthVouch's own: any type may come."""

hostile = st.text(
    st.one_of(
        st.characters(), st.sampled_from(["\ud800", "\udfff", "\x00", "\x1b", "\u2028", "\u202e", "\r", "\n", "😀"])
    ),
    max_size=60,
)
"""Texts with what breaks JSON, lines and terminals: lone surrogates, control characters, marks that turn text."""

shares = st.floats(0, 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
severities = st.one_of(st.none(), st.sampled_from((*SEVERITIES, "warning", "")), hostile)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), hostile)


@st.composite
def alerts(draw: st.DrawFn, texts: st.SearchStrategy[str] = hostile) -> Alert:
    """An alert that tells anything from nothing to everything."""
    answer = st.one_of(st.none(), texts)
    share = st.one_of(st.none(), shares)
    return Alert(
        alert_id=AlertId(draw(st.one_of(st.from_regex(r"alert_[a-z0-9]{1,12}", fullmatch=True), hostile))),
        severity=draw(severities),
        kind=draw(answer),
        category=draw(answer),
        message=draw(answer),
        claim=draw(answer),
        truth=draw(answer),
        query=draw(answer),
        response=draw(answer),
        model=draw(answer),
        confidence=draw(share),
        confidence_text=draw(st.one_of(st.none(), st.just("5%"), texts)),
        detection_confidence=draw(share),
        trust_score=draw(share),
        dashboard_url=draw(st.one_of(st.none(), st.just("https://dash.truthvouch.com/alerts/1"), texts)),
        people=draw(st.dictionaries(st.sampled_from(["user_id", "ip_address", "resolved_by"]), texts, max_size=3)),
        extra=draw(st.dictionaries(st.sampled_from((*OWN_NAMES, "action_taken")), scalars, max_size=4)),
    )


# ---------------------------------------------------------------- triggers

_words = st.text(st.characters(exclude_categories=()), max_size=12)
_text_fields = st.sampled_from(sorted(TEXT_FIELDS)).map(Field)
_share_fields = st.sampled_from(sorted(SHARE_FIELDS)).map(Field)
_own_fields = st.sampled_from(OWN_NAMES).map(Field)
_equality = st.sampled_from(["==", "!="])
_order = st.sampled_from(["<", "<=", ">", ">="])

comparisons = st.one_of(
    st.builds(Compare, _text_fields, _equality, st.one_of(_words, _text_fields)),
    st.builds(Compare, _share_fields, st.one_of(_equality, _order), st.one_of(shares, _share_fields)),
    st.builds(Compare, _own_fields, _equality, st.one_of(_words, numbers, st.booleans())),
    st.builds(Compare, _own_fields, _order, numbers),
    st.builds(Compare, st.just(Field("severity")), _order, st.sampled_from(SEVERITIES)),
    st.builds(OneOf, _text_fields, st.lists(_words, min_size=1, max_size=4).map(tuple)),
    st.builds(OneOf, _share_fields, st.lists(shares, min_size=1, max_size=4).map(tuple)),
    st.builds(OneOf, _own_fields, st.lists(numbers, min_size=1, max_size=4).map(tuple)),
    st.builds(Contains, st.one_of(_words, _text_fields), st.one_of(_text_fields, _own_fields)),
    st.builds(Flag, _own_fields),
)
"""Single questions about fields, each of which may be *unknown*."""

_leaves = st.one_of(comparisons, st.builds(Missing, st.one_of(_text_fields, _share_fields, _own_fields)))


def _joined(kind: type[Both | Either], parts: list[Expression]) -> Expression:
    """``and`` of ``and`` is one longer ``and``, as it is when it was written."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,))]
    return kind(tuple(flat))


_asking: st.SearchStrategy[Expression] = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(_joined, st.sampled_from([Both, Either]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=8,
)
# Constants stand alone, because reading computes them: "not false" is read as "true".
expressions: st.SearchStrategy[Expression] = st.one_of(_asking, st.builds(Constant, st.booleans()))

_PIECES = (
    "confidence severity foo critical and or not in true false null ( ) [ ] , < <= = == != > >= =~ - 0.5 50% 7 1e3"
    ' \'a\' "b\\n" "\\q" \' ** . for if nan {} # $x ?'
)
token_soup = st.lists(st.sampled_from(_PIECES.split()), max_size=14).map(" ".join)
"""Texts that look like triggers and mostly are none."""


# ---------------------------------------------------------------- rulebooks

urgencies = st.sampled_from(Urgency)
severity_maps = st.dictionaries(
    st.sampled_from((*SEVERITIES, "warning")), st.one_of(st.none(), urgencies), max_size=5
).map(lambda own: {**DEFAULT_SEVERITY_MAP, **own})
redactions = st.builds(Redaction, st.booleans(), st.booleans(), st.booleans(), st.booleans())
rules = st.builds(
    Rule,
    name=st.text(min_size=1, max_size=20),
    trigger=st.one_of(expressions.map(str), token_soup),
    action=st.sampled_from(RuleAction),
    title=st.one_of(st.none(), hostile),
    urgency=st.one_of(st.none(), urgencies),
    service_id=st.one_of(st.none(), st.just("PRULE")),
    escalation_policy_id=st.one_of(st.none(), st.just("PPOLICY")),
)
rulebooks = st.builds(
    Rulebook,
    rules=st.lists(rules, max_size=4).map(tuple),
    severity_map=severity_maps,
    service_id=st.one_of(st.none(), st.just("PBOOK")),
    redaction=redactions,
)
