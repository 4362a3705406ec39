"""The operator's word on routing, as values. ``config`` reads and writes it, ``decide`` applies it.

Silences: for an hour or a week, alerts that match open no incident. Somebody answers for each, and each ends.

Redaction: what may leave for PagerDuty.
"""

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app.domain.model.events import AlertEvent, Event
from app.domain.model.text import clean
from app.domain.model.types import Alert, Urgency, Via

# A silence is asked before any rule. It keeps nobody from resolving, and when it ends what it silenced and is still
# open is decided anew. Which alerts those are, their own decisions say; what is remembered of silences only says when
# to look.

LONGEST = timedelta(days=31)
"""How far ahead a silence may end: what has to be quiet for longer is a rule."""
EXPIRES_SOON = timedelta(hours=1)
"""How long before its end it is announced."""
SILENCED = "silenced"
"""The reason word of a decision that a silence made."""


class Standing(StrEnum):
    """How a silence stands."""

    PLANNED = "planned"
    IN_FORCE = "in_force"
    OVER = "over"


class Origin(StrEnum):
    """Where a silence is kept."""

    FILE = "file"
    """``bridge.yaml``, of which every machine has its own."""
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Silence:
    """One entry of ``silences:``, or one like it in the store."""

    name: str
    match: str
    """A trigger, in the language of the rules."""
    owner: str
    reason: str
    until: datetime
    """At this instant itself it is over."""
    starts: datetime | None = None
    """None: it is in force at once."""
    origin: Origin = Origin.FILE
    up_to: Urgency | None = None
    """What would page with a higher urgency than this it leaves alone; None: it silences whatever matches."""

    def spares(self, urgency: Urgency | None) -> bool:
        """Whether it leaves an alert alone that would page with this urgency."""
        return self.up_to is Urgency.LOW and urgency is Urgency.HIGH

    def standing(self, now: datetime) -> Standing:
        """Whether it silences an alert that is decided now, or why not."""
        if now >= self.until:
            return Standing.OVER
        return Standing.IN_FORCE if self.starts is None or self.starts <= now else Standing.PLANNED


def in_force(silences: Iterable[Silence], now: datetime) -> tuple[Silence, ...]:
    """Those that silence now, in the order of the file."""
    return tuple(silence for silence in silences if silence.standing(now) is Standing.IN_FORCE)


def expiring(silences: Iterable[Silence], now: datetime) -> tuple[Silence, ...]:
    """Those in force that end within ``EXPIRES_SOON``."""
    return tuple(silence for silence in in_force(silences, now) if silence.until - now <= EXPIRES_SOON)


def expiry_remark(silence: Silence, now: datetime) -> str:
    """What people read about a silence that ends soon."""
    minutes = max(1, round((silence.until - now).total_seconds() / 60))
    return (
        f"the silence {silence.name!r} of {silence.owner} ends in {minutes} minute{'' if minutes == 1 else 's'}: "
        "what it silenced and is still open is then decided anew"
    )


def identity(silence: Silence) -> str:
    """What makes a silence the same one. Changed in any of it, the old one has ended and a new one begun."""
    starts = silence.starts.isoformat() if silence.starts else ""
    return "|".join((silence.name, silence.match, starts, silence.until.isoformat()))


CHECK_AGAIN = timedelta(minutes=1)
"""What is silenced is looked at again, whether any end was seen or not: a silence may come and go between two looks at
the file, and what was over when it ended may be reopened later."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What one check of the silences leaves for the next. Nothing but ``announced`` has to survive a restart."""

    there: frozenset[str] = frozenset()
    """By ``identity``: those that were in force."""
    announced: frozenset[str] = frozenset()
    ended: bool = False
    """One of them is not any more, and the alerts have not been looked at since."""
    checked_at: datetime | None = None
    """When the alerts were last looked at; None since the start."""

    def seeing(self, silences: Iterable[Silence], now: datetime) -> "Watch":
        """The watch after a check of the silences as they are now."""
        silencing = in_force(silences, now)
        there = frozenset(map(identity, silencing))
        announced = (self.announced | set(map(identity, expiring(silencing, now)))) & there
        return replace(self, there=there, announced=announced, ended=self.ended or not self.there <= there)

    def checked(self, now: datetime) -> "Watch":
        """The watch after the alerts were looked at."""
        return replace(self, checked_at=now, ended=False)

    def must_check(self, now: datetime) -> bool:
        """Whether the alerts that are silenced have to be looked at: an end, a minute, a start, a clock set back."""
        return self.ended or self.checked_at is None or abs(now - self.checked_at) >= CHECK_AGAIN


def announced_text(announced: Iterable[str]) -> str:
    """For the store."""
    return json.dumps({"announced": sorted(announced)})


def announced_from(text: str | None) -> frozenset[str]:
    """What ``announced_text`` wrote; nothing for anything else."""
    try:
        return frozenset(map(str, json.loads(text or "{}").get("announced", ())))
    except (AttributeError, TypeError, ValueError):
        return frozenset()


class RuleAction(StrEnum):
    """What a matching rule asks for."""

    CREATE_INCIDENT = "create_incident"
    SUPPRESS = "suppress"


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of ``rules:``. First match wins."""

    name: str
    trigger: str
    action: RuleAction
    title: str | None = None
    urgency: Urgency | None = None
    """None: the severity map decides; high where that says none."""
    service_id: str | None = None
    escalation_policy_id: str | None = None
    hold_resolve_minutes: float = 0
    """How long a resolve from TruthVouch is held back from PagerDuty, fractions legal; 0 = not at all."""


@dataclass(frozen=True, slots=True)
class EscalationLevel:
    """One level of our own escalation. ``timeout_minutes`` > 0, fractions legal, counted from the level before."""

    level: int
    timeout_minutes: float
    description: str = ""


@dataclass(frozen=True, slots=True)
class EscalationRules:
    """``escalation:``; no levels means we never escalate."""

    policy_id: str | None = None
    levels: tuple[EscalationLevel, ...] = ()
    raise_urgency: bool = False


@dataclass(frozen=True, slots=True)
class Redaction:
    """What may leave for PagerDuty. The defaults keep prompts, answers and people in."""

    send_claim: bool = True
    send_query: bool = False
    send_response: bool = False
    send_people: bool = False


class EvidenceShows(StrEnum):
    """What an evidence link shows to whoever has it."""

    REDACTED = "redacted"
    """What ``redaction`` sends to PagerDuty."""
    EVERYTHING = "everything"
    """The claim, the prompt and the answer, too; people as ``redaction`` says."""


@dataclass(frozen=True, slots=True)
class ConsoleRules:
    """``console:``."""

    evidence_links: bool = False
    """Whether each incident carries a link to a page about it that needs no login."""
    evidence_shows: EvidenceShows = EvidenceShows.REDACTED


@dataclass(frozen=True, slots=True)
class Sla:
    """Targets for one severity, in minutes; None = no target."""

    acknowledge_minutes: float | None = None
    resolve_minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One configurable TruthVouch call. ``{alert_id}`` (URL-encoded in paths) and ``{resolution}`` are filled in."""

    method: str
    path: str
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TruthVouchCalls:
    """How TruthVouch is told. Only *resolve* is documented there, so all of it is configurable."""

    acknowledge: Call = Call("PATCH", "/alerts/{alert_id}", {"status": "acknowledged"})
    resolve: Call = Call("PATCH", "/alerts/{alert_id}", {"status": "resolved", "resolution": "{resolution}"})
    reopen: Call = Call("PATCH", "/alerts/{alert_id}", {"status": "open"})
    note: Call | None = None
    """None: TruthVouch documents no notes call, so none is made."""


DEFAULT_SEVERITY_MAP = {"critical": Urgency.HIGH, "high": Urgency.LOW, "medium": None, "low": None}
"""None = no incident. The documented defaults of ``bridge.yaml``."""
DEFAULT_DASHBOARD_URL = "https://dash.truthvouch.com/alerts/{alert_id}"


@dataclass(frozen=True, slots=True)
class Rulebook:
    """``bridge.yaml`` as values, all defaults filled in."""

    rules: tuple[Rule, ...] = ()
    severity_map: Mapping[str, Urgency | None] = field(default_factory=lambda: dict(DEFAULT_SEVERITY_MAP))
    silences: tuple[Silence, ...] = ()
    shadow: str | None = None
    """A draft that is asked beside this rulebook and decides nothing: its path, as seen from ``bridge.yaml``."""
    via: Via | None = None
    """None: REST where an API key is configured, else Events."""
    region: str | None = None
    service_id: str | None = None
    escalation_policy_id: str | None = None
    dashboard_url: str = DEFAULT_DASHBOARD_URL
    redaction: Redaction = Redaction()
    console: ConsoleRules = ConsoleRules()
    escalation: EscalationRules = EscalationRules()
    sla: Mapping[str, Sla] = field(default_factory=dict)
    calls: TruthVouchCalls = TruthVouchCalls()
    replay_window_seconds: float = 0
    """How old a TruthVouch signature's time may be; 0 = any age, because retries carry the old time."""
    reconcile_calls_per_hour: int = 300
    """Calls to TruthVouch that reconciliation may make; 0 = none."""
    retention_days: float = 31
    """How long what is done with is kept; links are kept for ever."""
    evidence_days: float = 30
    """How long the texts and people of an alert are kept once it is over, and raw bodies once they arrived."""
    audit_days: float = 365
    """How long the audit log keeps who did what."""
    version: str = "defaults"
    """Short hash of the file's text; a plus and the mark of what the store adds follow where it ever added anything.
    Every decision names it."""


def completed(draft: Rulebook, live: Rulebook) -> Rulebook:
    """A draft that says nothing of PagerDuty is meant for the place of the rulebook in force. One that says anything of
    it (``via``, region, service, policy) says all of it."""
    names = ("via", "region", "service_id", "escalation_policy_id")
    says_any = any(getattr(draft, name) for name in names)
    return draft if says_any else replace(draft, **{name: getattr(live, name) for name in names})


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rulebook said about one alert, and which entry of which version said so."""

    urgency: Urgency | None
    """None: no incident."""
    rule: str
    """The rule's name, or ``severity_map``, or the silence's name."""
    version: str
    reason: str
    """Why, in one word: ``rule``, ``severity_map``, ``suppressed``, ``severity_none``, ``unknown_severity``,
    ``silenced``."""
    title: str | None = None
    service_id: str | None = None
    escalation_policy_id: str | None = None
    hold_resolve_minutes: float = 0
    """The rule's, as it was then: see ``domain/sync/effects.py``."""


# ------------------------------------------------------------------------------------------------------------ redaction

# What may leave for PagerDuty, and what is taken out of it first. By default the claim and the truth leave; prompts,
# answers and people do not (``Redaction``). The fields themselves are easy: they are sent or not. The work here is free
# text, which may repeat what was not to leave.

E_MAIL, IP_ADDRESS, PERSON, WITHHELD = "[e-mail]", "[IP address]", "[person]", "[withheld]"

MIN_WITHHELD_CHARS = 8
"""A prompt or answer shorter than this is not looked for in other texts: "Yes" would be found everywhere."""
_MIN_EMBEDDED_CHARS = 4
"""A person's id shorter than this is only replaced as a whole word."""

MIN_IPV4_DOTS, MIN_IPV6_COLONS = 3, 2
"""A text with fewer holds no such address: most texts are not searched at all."""

# Every repetition is bounded, so that a long text without any address costs no more than its length.
_LOCAL_PART = re.compile(r"[^\s@＠<>(),;:\[\]\\]{1,64}(?<!/)\Z")
"""It ends in no slash: ``https://example.com/@user.name`` is no address."""
_AT_DOMAIN = re.compile(r"(?:@|＠|%40)(?:[\w-]{1,63}\.){1,127}(?!\d+\b)[\w-]{2,63}")
_IPV4 = re.compile(r"(?<!\d)\d{1,3}(?:\.\d{1,3}){3}(?!\d)")
_IPV6 = re.compile(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}")
_MAPPED = "::ffff"
"""What stands before an IPv4 address that is written as one of IPv6.
https://www.rfc-editor.org/rfc/rfc4291#section-2.5.5.2"""
_WORD = re.compile(r"\w")
_MAX_SLICE_CHARS = 20
_SLICE_BEGIN = re.compile(r"(?P<sequence>[\w)\]])?\[[\d:, -]*\Z")
_SLICE_END = re.compile(rf"[\d:, -]{{0,{_MAX_SLICE_CHARS}}}\](?!:\d)")
"""No port follows: ``[::1]:8080``."""
_SHORT_WORDS, _SHORT_NUMBERS = re.compile(r"\w{0,3}::\w{0,3}"), re.compile(r"\d{0,3}::\d{0,3}")
"""The first part of an address that is in use has four digits: 2001, fe80, fd00."""


def scrub(text: str, people: Iterable[str] = ()) -> str:
    """The text without e-mail addresses, IP addresses and the given people's ids, names or addresses.

    Addresses are recognised as people write them (``dana@example.com``, ``192.0.2.7``, ``2001:db8::1``), and rather
    once too often than once too seldom: a version number of four parts goes as well.
    """
    parts = {
        part.strip() for value in people for part in (value, *re.split(r"[,;\n]", value))
    }  # of a list in one value
    for person in sorted(filter(None, parts), key=len, reverse=True):
        exactly = re.escape(person)
        pattern = exactly if len(person) >= _MIN_EMBEDDED_CHARS else rf"(?<!\w){exactly}(?!\w)"
        text = re.sub(pattern, PERSON, text, flags=re.IGNORECASE)
    if "@" in text or "＠" in text or "%40" in text:
        text = _without_e_mails(text)
    if text.count(".") >= MIN_IPV4_DOTS:
        text = _IPV4.sub(IP_ADDRESS, text)
    return _IPV6.sub(_ipv6, text) if text.count(":") >= MIN_IPV6_COLONS else text


def _without_e_mails(text: str) -> str:
    kept, at = [], 0
    for domain in _AT_DOMAIN.finditer(text):
        local = _LOCAL_PART.search(text, max(at, domain.start() - 64), domain.start())
        if local is not None:
            kept += [text[at : local.start()], E_MAIL]
            at = domain.end()
    return "".join([*kept, text[at:]])


def _ipv6(found: re.Match[str]) -> str:
    run = found.group()
    before = ":" if run.startswith(":") and not run.startswith("::") else ""
    after = ":" if run.endswith(":") and not run.endswith("::") else ""
    address = run[len(before) : len(run) - len(after)]
    is_code = _is_code(found.string, found.start() + len(before), found.end() - len(after))
    return before + IP_ADDRESS + after if _is_ipv6(address) and not is_code else run


def _is_code(text: str, start: int, end: int) -> bool:
    """Names or numbers with ``::`` and no other colon between them, where no address would stand so: in a longer word
    (``std::cout``, ``Aws::S3::Client``), without a digit (``Cafe::Bad``), between brackets (``x[1::2]``)."""
    address = text[start:end]
    if ":" in address.replace("::", "") or address.lower() == _MAPPED:
        return False
    in_a_word = bool(start and _WORD.match(text, start - 1)) or bool(_WORD.match(text, end))
    if in_a_word or not any(map(str.isdigit, address)):
        return True
    opened = _SLICE_BEGIN.search(text, max(start - _MAX_SLICE_CHARS, 0), start)
    if opened is None or not _SLICE_END.match(text, end):
        return False
    short = _SHORT_WORDS if opened["sequence"] else _SHORT_NUMBERS
    return short.fullmatch(address) is not None and (address != "::1" or bool(opened["sequence"]))


def _is_ipv6(text: str) -> bool:
    try:
        return int(ipaddress.IPv6Address(text)) != 0  # ``::`` alone is a sign, and nobody's address
    except ValueError:
        return False


def withheld_texts(alert: Alert, redaction: Redaction) -> tuple[str, ...]:
    """The texts that may not leave, longest first, so that a message repeating one can be freed of it. A text that is
    also part of something that may leave is none of them."""
    policy = (
        (alert.claim, redaction.send_claim),
        (alert.truth, redaction.send_claim),
        (alert.query, redaction.send_query),
        (alert.response, redaction.send_response),
    )
    texts = [(clean(text).strip(), sent) for text, sent in policy if text]
    allowed = [text for text, sent in texts if sent]
    withheld = {text for text, sent in texts if not sent and len(text) >= MIN_WITHHELD_CHARS}
    hidden = [text for text in withheld if not any(text in other for other in allowed)]
    return tuple(sorted(hidden, key=len, reverse=True))


def withhold(text: str, hidden: Iterable[str]) -> str:
    """The text with every verbatim repetition of a hidden text replaced by a mark."""
    for part in hidden:
        text = text.replace(part, WITHHELD)
    return text


def fit_to_leave(event: Event, redaction: Redaction) -> Event:
    """A TruthVouch event as its author, reason and text may be repeated in a note; unchanged where people may be sent.
    Who resolved an alert is a person like any other: without ``send_people`` it was somebody."""
    if not isinstance(event, AlertEvent) or redaction.send_people:
        return event
    people = [*event.alert.people.values(), *([event.author] if event.author else [])]
    reason, text = (scrub(said, people) if said else said for said in (event.reason, event.text))
    return replace(event, author=None, reason=reason, text=text)
