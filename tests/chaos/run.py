"""One run: a world, the play on it, and the verdict."""

import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.evidence import Evidence
from tests.chaos.judge import Judge
from tests.chaos.merged import Merges
from tests.chaos.plan import SHORT_RUN_SECONDS
from tests.chaos.report import Outcome, Say, to_prove
from tests.chaos.settings import Settings, drawn
from tests.chaos.stage import stage
from tests.chaos.world import ChaosWorld, chaos_world
from tests.conftest import fresh_postgres

QUIET_SECONDS = 60.0


def run(
    store: str,
    via: str,
    seconds: float,
    seed: int,
    say: Say,
    quiet_seconds: float = QUIET_SECONDS,
    least_kills: int = 0,
    settings: Settings | None = None,
) -> Outcome:
    """A whole run on ``sqlite`` or ``postgres``, through PagerDuty's API ``rest`` or ``events``. Its folder is left
    behind only if it failed.

    ``settings``: what the partners are like; by default the seed says. On a slow machine the violence goes on, for
    twice the time at most, until there were ``least_kills``.
    """
    settings = drawn(seed) if settings is None else settings
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{store}-{via}-"))
    with ExitStack() as ending:
        url = ending.enter_context(fresh_postgres()) if store == "postgres" else ""
        # Reading thousands of alerts back every two seconds would be most of the work.
        every = 2 if seconds <= SHORT_RUN_SECONDS else 15
        world = ending.enter_context(chaos_world(folder, url, every, via, settings))
        played = stage(world, say, settings)
        ending.callback(played.partners.close)
        played.play(seed, seconds, least_kills)
        seen = played.evidence(played.become_quiet(quiet_seconds))
        verdict = Judge(seen).verdict()
        proofs = [_proof(world, seen, alert_id) for alert_id in to_prove(verdict)]
    if not verdict.failures:
        shutil.rmtree(folder)
    return Outcome(store, via, seed, seen, verdict, proofs, str(folder) if verdict.failures else "")


def _proof(world: ChaosWorld, seen: Evidence, alert_id: str) -> str:
    """What people did, what the partners were told and told, and the time line as the bridge itself tells it: of this
    alert, and of all whose incidents were merged with its own."""
    merges, (alert,) = Merges(seen.incidents), [alert for alert in seen.alerts if alert.alert_id == alert_id]
    keys = merges.together(alert.key)
    about = [alert for alert in seen.alerts if alert.key in keys]
    names = {subject: one.alert_id for one in about for subject in (one.alert_id, one.key)}
    for incident in seen.incidents:
        if incident.key in keys:
            names[incident.incident_id] = f"{incident.incident_id} of {names.get(incident.key, 'nobody')}"
    past = [
        (act.at, f"a person: {act.side} {act.action}, {act.alert_id}") for act in seen.acts if act.alert_id in names
    ]
    for write in seen.writes:
        if write.subject in names:
            took = f"after {write.ended_at - write.at:.3f} s" + ("" if write.took else ", not done")
            what = f"{write.side} {write.says}, answered {write.status} {took}, {names[write.subject]}"
            past.append((write.at, f"the bridge: {what}"))
    for webhook in seen.sent:
        if webhook.subject in names:
            what = f"{webhook.side} {webhook.event} {webhook.outcome}, {names[webhook.subject]}"
            past.append((webhook.at, f"    webhook {what}"))
    lines = [f"{alert_id}, severity {alert.severity}; seconds since it was raised:"]
    lines += [f"  {at - alert.raised_at:7.3f}  {what}" for at, what in sorted(past)]
    began = datetime.fromtimestamp(alert.raised_at, UTC).isoformat(timespec="milliseconds")
    lines.append(f"  it was raised at {began}; what the bridge tells:")
    for one in about:
        lines.append(f"  {one.alert_id}:")
        lines += [f"    {line['at'][11:23]}  {line['event']} {line['facts']}" for line in world.timeline(one.alert_id)]
    return "\n".join(lines)
