"""What ``stats`` and ``report`` share: which period, which service, reading the record, PagerDuty beside it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from app.cli.base import check_config, read_settings, refuse, unreadable_store

if TYPE_CHECKING:
    from app.services.report import Reports

F = TypeVar("F", bound=Callable[..., Any])
DAY = click.DateTime(formats=["%Y-%m-%d"])
QUIET = "WARNING"


def _options(default: str) -> Callable[[F], F]:
    told = "daily, weekly, monthly, quarterly: the running one. Or 30d, 2026-03-15, 2026-W11, 2026-03, 2026-Q1."
    return _all(
        click.option("--service", "service_id", metavar="ID", help="Only incidents of this PagerDuty service."),
        click.option("--period", default=default, show_default=True, metavar="PERIOD", help=told),
        click.option("--previous", is_flag=True, help="The period before that one: the last that is over."),
        click.option("--from", "start", type=DAY, metavar="DAY", help="First day, instead of --period."),
        click.option("--to", "end", type=DAY, metavar="DAY", help="Last day, included; today if it is left out."),
        click.option("--tz", "time_zone", default="UTC", show_default=True, metavar="ZONE",
                     help="Days and hours of this IANA time zone, such as Europe/Berlin."),
        click.option("--compare", is_flag=True, help="Ask PagerDuty's analytics too, and show both."),
    )  # fmt: skip


def _all(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def decorated(command: F) -> F:
        for decorate in reversed(decorators):
            command = decorate(command)
        return command

    return decorated


stats_options = _options("30d")
report_options = _options("monthly")


def asked(
    service_id: str | None, period: str, previous: bool, start: datetime | None, end: datetime | None, time_zone: str
) -> dict[str, Any]:
    """The options as ``Reports`` takes them."""
    if previous and (start or end):
        refuse("--previous belongs to --period, not to --from and --to.")
    return {
        "service_id": service_id,
        "period": period,
        "previous": previous,
        "start": start and start.date(),
        "end": end and end.date(),
        "time_zone": time_zone,
    }


@contextmanager
def reports() -> Iterator["Reports"]:
    """This installation's record; exit code 2 when it cannot be read or when what is asked is no period."""
    from app import logs  # first: it keeps structlog from loading what nobody here uses

    settings = read_settings()
    check_config(settings)
    logs.configure(settings.log_format, QUIET)
    from app.bootstrap.reports import open_reports
    from app.domain.stats_period import BadPeriod
    from app.ports import StoreUnavailable

    try:
        with open_reports(settings) as opened:
            yield opened
    except BadPeriod as fault:
        refuse(str(fault))
    except StoreUnavailable as fault:
        unreadable_store(fault)


@contextmanager
def bar(hidden: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while the record is read, where that is a terminal."""
    shown: list[Any] = []
    quiet = hidden or not sys.stderr.isatty()

    def told(done: int, total: int) -> None:
        if quiet:
            return
        if not shown:
            shown.append(click.progressbar(length=total, label="Reading", file=sys.stderr))
        shown[0].update(done - shown[0].pos)

    yield told
    for one in shown:
        one.render_finish()


def beside_pagerduty(stats: dict[str, Any]) -> dict[str, Any]:
    """PagerDuty's numbers for the same period; exit code 2 where there is no key to ask with."""
    from app.bootstrap.reports import comparison

    settings = read_settings()
    if not settings.pagerduty.api_key:
        refuse("PAGERDUTY_API_KEY is not set: PagerDuty's analytics cannot be asked without it.")
    return comparison(settings, check_config(settings))(stats)
