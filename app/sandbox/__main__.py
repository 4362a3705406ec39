"""``python -m app.sandbox``: start the simulated PagerDuty and TruthVouch."""

import os
from collections.abc import Mapping

import click

from app.sandbox.server import serve
from app.sandbox.truthvouch.alerts import ENVELOPES, SIGNATURES
from app.sandbox.world import DEFAULT_PAGERDUTY_SECRET, DEFAULT_TRUTHVOUCH_SECRET, Setup


def newest_secret(environ: Mapping[str, str], name: str, default: str) -> str:
    """The first of a comma list: the one a sender would sign with."""
    return environ.get(name, "").split(",")[0].strip() or default


@click.command(help="SIMULATION of PagerDuty and TruthVouch, on one port.")
@click.option("--port", type=click.IntRange(0, 65_535), default=9100, show_default=True, help="0 = any free port.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--bridge-url", default="http://127.0.0.1:8080", show_default=True, help="Where webhooks are sent.")
@click.option("--events-delay-ms", type=click.FloatRange(0), default=50.0, show_default=True,
              help="From the 202 of the Events API to the incident.")  # fmt: skip
@click.option("--signature", type=click.Choice(SIGNATURES), default="s1", show_default=True)
@click.option("--envelope", type=click.Choice(ENVELOPES), default="nested", show_default=True)
def main(port: int, host: str, bridge_url: str, events_delay_ms: float, signature: str, envelope: str) -> None:
    """Read the secrets from the environment and serve."""
    setup = Setup(
        bridge_url=bridge_url,
        truthvouch_secret=newest_secret(os.environ, "TRUTHVOUCH_WEBHOOK_SECRETS", DEFAULT_TRUTHVOUCH_SECRET),
        pagerduty_secret=newest_secret(os.environ, "PAGERDUTY_WEBHOOK_SECRETS", DEFAULT_PAGERDUTY_SECRET),
        events_delay_seconds=events_delay_ms / 1000,
        signature=signature,
        envelope=envelope,
    )
    serve(setup, host, port)


if __name__ == "__main__":
    main()
