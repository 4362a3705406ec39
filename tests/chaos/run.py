"""One run: a world, the play on it, and the verdict."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.evidence import Evidence
from tests.chaos.judge import Judge
from tests.chaos.plan import SHORT_RUN_SECONDS
from tests.chaos.report import SHOWN, Outcome, Say
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
) -> Outcome:
    """A whole run on ``sqlite`` or ``postgres``, through PagerDuty's door ``rest`` or ``events``. Its folder is left
    behind only if it failed.

    On a slow machine the violence goes on, for twice the time at most, until there were ``least_kills``.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{store}-{via}-"))
    with ExitStack() as ending:
        url = ending.enter_context(fresh_postgres()) if store == "postgres" else ""
        # Reading thousands of alerts back every two seconds would be most of the work.
        world = ending.enter_context(chaos_world(folder, url, 2 if seconds <= SHORT_RUN_SECONDS else 15, via))
        played = stage(world, say)
        ending.callback(played.partners.close)
        played.play(seed, seconds, least_kills)
        seen = played.evidence(played.become_quiet(quiet_seconds))
        verdict = Judge(seen).verdict()
        about = dict.fromkeys(finding.alert_id for finding in verdict.failures if finding.alert_id)
        proofs = [_proof(world, seen, alert_id) for alert_id in list(about)[:SHOWN]]
    if not verdict.failures:
        shutil.rmtree(folder)
    return Outcome(store, via, seed, seen, verdict, proofs, str(folder) if verdict.failures else "")


def _proof(world: ChaosWorld, seen: Evidence, alert_id: str) -> str:
    """What people did, what the partners were told, and the time line as the bridge itself tells it."""
    (alert,) = [alert for alert in seen.alerts if alert.alert_id == alert_id]
    ids = {alert_id, alert.key, *(i.incident_id for i in seen.incidents if i.key == alert.key)}
    told = [(act.at, f"a person: {act.side} {act.verb}") for act in seen.acts if act.alert_id == alert_id]
    for write in seen.writes:
        if write.subject in ids:
            told.append((write.at, f"the bridge: {write.side} {write.says}, answered {write.status}"))
    lines = [f"{alert_id}, severity {alert.severity}; seconds since it was raised:"]
    lines += [f"  {at - alert.raised_at:7.3f}  {what}" for at, what in sorted(told)]
    lines += [f"  {line['at']}  {line['event']} {line['facts']}" for line in world.timeline(alert_id)]
    return "\n".join(lines)
