"""Use case: PagerDuty's own test event, there and back: through our public address, the proxy, the door, the inbox."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from app.domain.outcome import Done
from app.domain.proof import RefusedDeliveries
from app.domain.subscription import Subscription
from app.ports import StoreUnavailable, Subscriptions
from app.services.doctor import Finding, Look, State, fine

CHECK = "webhook_ping"

PATIENCE_SECONDS = 10.0
LOOK_EVERY_SECONDS = 0.25


class Pings(Protocol):
    """The test events in the inbox. Everything may raise ``StoreUnavailable``."""

    def newest(self) -> int:
        """The number of the newest delivery of any kind; 0 where there is none."""
        ...

    def came_after(self, number: int) -> bool:
        """Whether a test event arrived after that delivery."""
        ...

    def refused(self) -> RefusedDeliveries | None:
        """PagerDuty's newest deliveries whose signature proved nothing."""
        ...


def ping(
    subscriptions: Subscriptions | None,
    ours: Callable[[], Sequence[Subscription]],
    public_url: str | None,
    pings: Pings,
    pause: Callable[[float], None],
) -> Look:
    """Whether a test event that we ask PagerDuty for arrives here. ``subscriptions`` None: no API key."""

    def look() -> Iterable[Finding]:
        if subscriptions is None:
            return (_skipped("PAGERDUTY_API_KEY is not set", "Set it, or use `Send Test Event` in PagerDuty."),)
        if public_url is None:
            return (_skipped("BRIDGE_PUBLIC_URL is not set", "Set it to the address PagerDuty reaches the bridge at."),)
        try:
            before, refused = pings.newest(), pings.refused()
        except StoreUnavailable as fault:
            todo = "Run the test where the bridge runs, with its BRIDGE_DATA_DIR or DATABASE_URL."
            return (_skipped(f"the bridge's store is not here ({fault})", todo),)
        there = [one for one in ours() if one.active and not one.temporarily_disabled]
        if not there:
            return (_skipped("no subscription that is switched on comes here", "See the check `subscription`."),)
        return (_asked(subscriptions, there[0].subscription_id, public_url, pings, before, refused, pause),)

    return look


def _asked(
    subscriptions: Subscriptions,
    ident: str,
    public_url: str,
    pings: Pings,
    before: int,
    refused: RefusedDeliveries | None,
    pause: Callable[[float], None],
) -> Finding:
    reply = subscriptions.ping(ident)
    if not isinstance(reply, Done):
        words = f"PagerDuty was not willing to send its test event to subscription {ident} ({reply.reason})."
        return Finding(CHECK, State.UNKNOWN, "ping_not_sent", words, "Use a key that may, or press `Send Test Event`.")
    for _ in range(int(PATIENCE_SECONDS / LOOK_EVERY_SECONDS)):
        if pings.came_after(before):
            return fine(CHECK, f"PagerDuty's test event came back through {public_url}.")
        if (now_refused := pings.refused()) is not None and now_refused != refused:
            words = f"PagerDuty's test event arrived and was refused: {now_refused.reason}."
            todo = (
                f"Put the secret that PagerDuty showed when subscription {ident} was created first in "
                "PAGERDUTY_WEBHOOK_SECRETS and restart; it shows it only once, so for a lost one make a new "
                "subscription: `truthvouch doctor --create-subscription`."
            )
            return Finding(CHECK, State.WRONG, "ping_refused", words, todo)
        pause(LOOK_EVERY_SECONDS)
    words = f"PagerDuty's test event did not arrive through {public_url} in {PATIENCE_SECONDS:g} seconds."
    todo = "See that the bridge runs, and that its address is reached from outside with a certificate PagerDuty trusts."
    return Finding(CHECK, State.WRONG, "ping_lost", words, todo)


def _skipped(why: str, todo: str) -> Finding:
    return Finding(CHECK, State.WARNING, "skipped", f"No test event was asked for: {why}.", todo)
