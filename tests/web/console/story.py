"""A console with something of everything: alerts open, paged, refused, merged into silence, frozen, and given up."""

from datetime import timedelta

from app.domain.model.events import AlertEvent, AlertEventType, CommandType, IncidentEventType
from app.domain.model.types import Alert, AlertId, Side, Urgency
from app.domain.rules.rulebook import EscalationLevel, EscalationRules, Rule, RuleAction, Rulebook, Silence
from app.remote.payload import RefusedDeliveries
from tests.services.sync.test_commands import refusing, with_a_dead_acknowledge
from tests.web.console.pages import ConsoleRig

RULES = Rulebook(
    rules=(
        Rule("Critical hallucinations", "confidence < 0.5 and severity == \"critical\"", RuleAction.CREATE_INCIDENT,
             urgency=Urgency.HIGH, service_id="PMAIN", escalation_policy_id="PPOLICY"),
        Rule("Known noise", 'category == "Paraphrase"', RuleAction.SUPPRESS),
    ),
    escalation=EscalationRules("PPOLICY", (EscalationLevel(1, 15, "Wait"), EscalationLevel(2, 30, "The manager"))),
    version="3f2a91c07d1e",
)  # fmt: skip
ALERTS = (
    ("alert-1041", "critical", "hallucination", "Medicine", "support-assistant-2", 0.05,
     "The assistant doubled the maximum daily dose"),
    ("alert-1042", "critical", "pii", "Privacy", "claims-bot", None, "A social security number was in an answer"),
    ("alert-1043", "high", "hallucination", "Law", "legal-research", 0.41,
     "The answer cites a ruling that does not exist"),
    ("alert-1044", "medium", "hallucination", "Paraphrase", "support-assistant-2", 0.72,
     "The opening hours were rounded"),
    ("alert-1045", "low", "toxicity", "Tone", "claims-bot", 0.9, "An answer was rude to a customer"),
)  # fmt: skip


def created(console: ConsoleRig, alert: Alert) -> None:
    """TruthVouch raises it, and everything that follows is done."""
    event = AlertEvent(AlertEventType.CREATED, alert, "alert.created", console.now())
    console.rig.say(Side.TRUTHVOUCH, event)
    console.rig.run()


def filled(console: ConsoleRig) -> None:
    """Fill it, an hour's work in a moment. The rig's clock ends where the real one is."""
    rig = console.rig
    silence = Silence("Load test", 'model == "load"', "Ada", "nightly", console.now() + timedelta(hours=6))
    book = Rulebook(RULES.rules, silences=(silence,), escalation=RULES.escalation, version=RULES.version)
    rig.rulebook.rulebook = console.rules.rulebook = book
    for alert_id, severity, kind, category, model, confidence, message in ALERTS:
        alert = Alert(AlertId(alert_id), severity, kind, category, message, model=model, confidence=confidence)
        created(console, alert)
        rig.clock.move(400)
    rig.incident(IncidentEventType.ACKNOWLEDGED, "Q2", author="Grace Hopper")
    rig.run()
    rig.clock.move(120)
    rig.alert(AlertEventType.RESOLVED, alert_id="alert-1043", severity="high", author="Lin", text="It exists.")
    rig.run()
    rig.command(CommandType.FALSE_ALERT, "alert-1043")
    rig.run()
    with_a_dead_acknowledge(rig, "alert-1046")
    refusing(rig, "open")
    refused = RefusedDeliveries(3, "signature_mismatch", console.now() - timedelta(minutes=9), console.now())
    console.refusals.add(Side.TRUTHVOUCH, refused)
    console.operator.beat()
