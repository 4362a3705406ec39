"""A report as one HTML page that needs nothing else: no script, no request, light and dark, fit for paper."""

import html
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from app.reporting import tables
from app.reporting.charts import Chart, drawn
from app.reporting.pictures import alerts, capacity, days, groups, hours, sla, steps
from app.reporting.tables import Table
from app.reporting.words import NOTHING, instant, minutes, number, rate, remarks, service, span

MOST_INCIDENTS = 500
"""A page with more is no pleasure; the CSV has them all."""
_XML_ALLOWS = frozenset("\t\n\r")

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="referrer" content="no-referrer"/>
<meta name="color-scheme" content="light dark"/>
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def page(report: Mapping[str, Any]) -> str:
    """The whole page."""
    title = f"Incidents of TruthVouch alerts, {span(report)}"
    style = Path(__file__).with_name("page.css").read_text("utf-8")
    return PAGE.format(title=_text(title), style=style, body="\n".join(_body(report)))


def _body(report: Mapping[str, Any]) -> Iterator[str]:
    stats = report["stats"]
    yield "<header><h1>Incidents of TruthVouch alerts</h1>"
    told = [f"{span(report)} · {service(report)}", *remarks(report)]
    yield f"<p>{'<br/>'.join(map(_text, told))}</p></header>"
    yield f'<main><ul class="facts">{"".join(_facts(stats, report.get("before")))}</ul>'
    yield _section(_listed(tables.overview(stats)), tables.overview(stats))
    for chart, made, *more in _sections(stats):
        picture = "" if chart.is_empty else _figure(chart)
        yield _section(picture + f"<div>{''.join(map(_table, (made, *more)))}</div>", made)
    yield _section(_heat(stats), tables.weekdays(stats))
    incidents = tables.incidents(report, MOST_INCIDENTS)
    yield _section(_table(incidents, _urls(report)), incidents)
    yield "</main>"
    as_of = f"{instant(report['period']['as_of'], report['time_zone'])} {report['time_zone']}"
    yield f"<footer><p>From the bridge's own record, as of {_text(as_of)}.</p></footer>"


def _facts(stats: Mapping[str, Any], before: Mapping[str, Any] | None) -> Iterator[str]:
    """The handful of numbers somebody in a hurry wants, each with what it was in the period before, if that had any."""
    then = dict(_headlines(before)) if before and before["total"] else {}
    if not stats["period"]["complete"]:
        then.pop("Incidents", None)  # the whole of one is no measure for a part of the other
    false, (kept, decided) = stats["false_alerts"], _kept(stats["sla"])
    more = {
        "Incidents": f"{number(stats['open'])} open at the end",
        "MTTA": f"median {minutes(stats['mtta_minutes']['median'])}",
        "MTTR": f"median {minutes(stats['mttr_minutes']['median'])}",
        "Targets kept": f"{kept:,} of {decided:,}",
        "False alerts": f"{false['judged']:,} judged, {false['unjudged']:,} not",
        "Alerts : incidents": f"{number(stats['alerts']['total'])} alerts",
    }
    for name, value in _headlines(stats):
        was = f"before: {then[name]}" if then.get(name, NOTHING) != NOTHING else ""
        yield _fact(name, value, more[name], was)


def _headlines(stats: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kept, decided = _kept(stats["sla"])
    per_incident = number(stats["alerts"]["per_incident"])
    yield "Incidents", number(stats["total"])
    yield "MTTA", minutes(stats["mtta_minutes"]["mean"])
    yield "MTTR", minutes(stats["mttr_minutes"]["mean"])
    yield "Targets kept", rate(kept / decided if decided else None)
    yield "False alerts", rate(stats["false_alerts"]["rate"])
    yield "Alerts : incidents", NOTHING if per_incident == NOTHING else f"{per_incident} : 1"


def _kept(sla_told: Mapping[str, Any]) -> tuple[int, int]:
    aims = [of for severity in sla_told.values() for of in severity.values()]
    kept = sum(of["kept"] for of in aims)
    return kept, kept + sum(of["broken"] for of in aims)


def _fact(name: str, value: str, *more: str) -> str:
    small = "".join(f"<small>{_text(line)}</small>" for line in more if line)
    return f"<li><span>{_text(name)}</span><strong>{_text(value)}</strong>{small}</li>"


def _sections(stats: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """What is shown, in the order of reading: a picture, and its tables."""
    yield days(stats), tables.days(stats)
    yield steps(stats), tables.times(stats), tables.steps(stats)
    yield sla(stats), tables.sla(stats)
    for by, title in (("severity", "Severities"), ("rule", "Rules"), ("service", "Services")):
        yield groups(stats, by), tables.groups(stats, by, title)
    yield alerts(stats), tables.alerts(stats)
    yield capacity(stats), tables.capacity(stats)
    yield hours(stats), tables.hours(stats)


def _section(inner: str, about: Table) -> str:
    note = f"<p>{_text(about.note)}</p>" if about.note else ""
    return (
        f'<section class="{about.key}"><h2>{_text(about.title)}</h2><div class="beside">{inner}</div>{note}</section>'
    )


def _figure(chart: Chart) -> str:
    return f"<figure>{drawn(chart)}{_key(chart)}<figcaption>{_text(chart.title)}</figcaption></figure>"


def _key(chart: Chart) -> str:
    """Which colour is what, where there are several: as text of the page, which finds its own lines on any screen."""
    if len(chart.series) < 2:
        return ""
    told = "".join(
        f'<li><svg viewBox="0 0 1 1" aria-hidden="true"><rect class="color-{place}" width="1" height="1"/></svg>'
        f"{_text(name)}</li>"
        for place, name in enumerate(chart.series)
    )
    return f'<ul class="key">{told}</ul>'


def _listed(table: Table) -> str:
    """Names and values, without the columns of a table."""
    told = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in table.rows)
    return f"<dl>{told}</dl>"


def _heat(stats: Mapping[str, Any]) -> str:
    """Weekdays and hours, the busier the darker; the numbers are in the squares."""
    grid = stats["by_weekday_hour"]
    most = max(map(max, grid)) or 1
    head = "".join(f'<th scope="col">{hour:02}</th>' for hour in range(24))
    rows = "".join(
        f'<tr><th scope="row">{one["name"]}</th>{"".join(_square(count, most) for count in hours_of)}'
        f"<td>{one['total']:,}</td></tr>"
        for one, hours_of in zip(stats["by_weekday"], grid, strict=True)
    )
    top = f'<thead><tr><th scope="col">Day</th>{head}<th scope="col">Sum</th></tr></thead>'
    named = 'class="wide heat" tabindex="0" role="region" aria-label="Weekdays and hours"'
    return f"<div {named}><table>{top}<tbody>{rows}</tbody></table></div>"


def _square(count: int, most: int) -> str:
    return f'<td style="--share: {round(70 * count / most)}%">{count or ""}</td>'


def _table(table: Table, urls: Mapping[str, str] | None = None) -> str:
    if not table.rows:
        return f'<p class="empty">{_text(table.empty)}</p>'
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in table.head)
    rows = "".join(f"<tr>{_cells(row, urls or {})}</tr>" for row in table.rows)
    named = f'tabindex="0" role="region" aria-label="{_text(table.title)}"'
    return f'<div class="wide" {named}><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cells(row: Iterable[str], urls: Mapping[str, str]) -> str:
    first, *others = row
    url = urls.get(first)
    named = f'<a href="{_text(url)}">{_text(first)}</a>' if url else _text(first)
    return f'<th scope="row">{named}</th>' + "".join(f"<td>{_text(word)}</td>" for word in others)


def _urls(report: Mapping[str, Any]) -> dict[str, str]:
    """Where the incidents are, by their number as it is written."""
    told = ((f"#{one['incident_number']}", one["url"]) for one in report["incidents"] if one["url"])
    return {name: url for name, url in told if url.startswith(("https://", "http://"))}


def _text(words: str) -> str:
    """Words from outside as text, and as nothing else; what no document may hold is left out."""
    allowed = (sign for sign in words if sign in _XML_ALLOWS or (sign >= " " and not _is_no_text(ord(sign))))
    return html.escape("".join(allowed))


def _is_no_text(code: int) -> bool:
    return 0x7F <= code <= 0x9F or 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF)
