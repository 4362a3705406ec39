"""Jobs as rows, and what people did."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.domain.model.events import Way
from app.domain.model.text import clean
from app.ports import Page, Tx
from app.ports.console import AuditEntry, AuditFilter, SubjectKind
from app.ports.jobs import (
    KINDS,
    BacktestWanted,
    ConnectionTestWanted,
    EraseWanted,
    Job,
    JobKind,
    JobResult,
    JobState,
    JobWanted,
    ReconcileWanted,
    RepairWanted,
    ReplayWanted,
    ReportWanted,
)
from app.store.codec import Codec
from app.store.database import connection
from app.store.schema import JOB_RUNS, JOB_WAITS, audit, jobs

_WANTED: dict[JobKind, Codec[Any]] = {
    JobKind.BACKTEST: Codec[BacktestWanted](BacktestWanted),
    JobKind.REPORT: Codec[ReportWanted](ReportWanted),
    JobKind.REPLAY: Codec[ReplayWanted](ReplayWanted),
    JobKind.ERASE: Codec[EraseWanted](EraseWanted),
    JobKind.REPAIR: Codec[RepairWanted](RepairWanted),
    JobKind.CONNECTION_TEST: Codec[ConnectionTestWanted](ConnectionTestWanted),
    JobKind.RECONCILE: Codec[ReconcileWanted](ReconcileWanted),
}


def encode_job(wanted: JobWanted) -> str:
    """The kind and the parameters as one text, for a command."""
    kind = KINDS[type(wanted)]
    return f"{kind} {_WANTED[kind].dump(wanted)}"


def decode_job(text: str) -> tuple[JobKind, JobWanted]:
    """What ``encode_job`` wrote. Raises ``ValueError`` for anything else."""
    kind, _, parameters = text.partition(" ")
    known = JobKind(kind)
    return known, _WANTED[known].load(parameters)


LISTED_CHARS = 500
"""Longer parameters are not read in a list, but for their beginning."""
_listed_parameters = sa.case(
    (sa.func.length(sa.func.substr(jobs.c.parameters, 1, LISTED_CHARS + 1)) <= LISTED_CHARS, jobs.c.parameters)
).label("parameters")

_standing = sa.select(*(column for column in jobs.c if column.name not in ("parameters", "result")))
_job = _standing.add_columns(jobs.c.parameters)
_by_id = _job.where(jobs.c.id == sa.bindparam("job_id"))
_standing_by_id = _standing.where(jobs.c.id == sa.bindparam("job_id"))
_by_key = _job.where(jobs.c.key == sa.bindparam("wanted"))
_known = sa.select(sa.select(jobs.c.id).where(jobs.c.key == sa.bindparam("wanted")).exists())
_newest = _standing.add_columns(_listed_parameters).order_by(jobs.c.id.desc()).limit(sa.bindparam("at_most"))
_older = _newest.where(jobs.c.id < sa.bindparam("before"))
_running = _standing.where(JOB_RUNS).with_for_update()
_runnable = sa.and_(JOB_WAITS, jobs.c.kind.in_([kind.value for kind in JobKind]))
"""A newer version may have queued what only it can run: while workers are replaced one by one, or were set back."""
_next = sa.select(jobs.c.id, jobs.c.starts).where(_runnable).order_by(jobs.c.id).limit(1).with_for_update()
_pending = sa.select(*(sa.select(jobs.c.id).where(state).exists() for state in (_runnable, JOB_RUNS)))
_waiting = sa.select(sa.func.count()).select_from(jobs).where(_runnable)
_result = sa.select(jobs.c.result_name, jobs.c.result_type, jobs.c.result).where(
    jobs.c.id == sa.bindparam("job_id"), jobs.c.result.is_not(None)
)
_this_run = sa.and_(
    jobs.c.id == sa.bindparam("job_id"), jobs.c.run_id == sa.bindparam("of_run"), jobs.c.state == JobState.RUNNING.value
)
_change = sa.update(jobs).where(_this_run)


class StoredJobs:
    """Implements ``ports.jobs.Jobs``."""

    def add(self, tx: Tx, key: str, text: str, at: datetime, by: str, way: str | None) -> bool:
        kind, wanted = decode_job(text)
        if self.is_known(tx, key):
            return False
        row: dict[str, Any] = {"key": key, "kind": kind.value, "parameters": _WANTED[kind].dump(wanted), "asked_at": at}
        row |= {"asked_by": by, "asked_way": way, "state": JobState.WAITING.value}
        connection(tx).execute(sa.insert(jobs), row)
        return True

    def get(self, tx: Tx, job_id: int) -> Job | None:
        return _read(connection(tx).execute(_by_id, {"job_id": job_id}).one_or_none())

    def by_key(self, tx: Tx, key: str) -> Job | None:
        return _read(connection(tx).execute(_by_key, {"wanted": key}).one_or_none())

    def is_known(self, tx: Tx, key: str) -> bool:
        return bool(connection(tx).execute(_known, {"wanted": key}).scalar_one())

    def standing(self, tx: Tx, job_id: int) -> Job | None:
        return _read(connection(tx).execute(_standing_by_id, {"job_id": job_id}).one_or_none())

    def listed(self, tx: Tx, page: Page) -> Sequence[Job]:
        query, asked = (_older, {"before": page.after}) if page.after else (_newest, {})
        rows = connection(tx).execute(query, asked | {"at_most": page.limit})
        return tuple(job for row in rows if (job := _read(row)))

    def result(self, tx: Tx, job_id: int) -> JobResult | None:
        row = connection(tx).execute(_result, {"job_id": job_id}).one_or_none()
        return None if row is None else JobResult(row.result_name, row.result_type, bytes(row.result))

    def count_waiting(self, tx: Tx) -> int:
        return connection(tx).execute(_waiting).scalar_one()

    def is_any_pending(self, tx: Tx) -> bool:
        return any(connection(tx).execute(_pending).one())

    def running(self, tx: Tx) -> Job | None:
        return _read(connection(tx).execute(_running).one_or_none())

    def claim(self, tx: Tx, run_id: str, now: datetime) -> Job | None:
        row = None if self.running(tx) else connection(tx).execute(_next).one_or_none()
        if row is None:
            return None
        claimed = {"state": JobState.RUNNING.value, "run_id": run_id, "started_at": now, "seen_at": now}
        claimed |= {"starts": row.starts + 1, "progress_done": 0, "progress_total": 0}
        try:
            with connection(tx).begin_nested():
                connection(tx).execute(sa.update(jobs).where(jobs.c.id == row.id).values(claimed))
        except sa.exc.IntegrityError:  # another worker was quicker: one runs at a time
            return None
        return self.standing(tx, row.id)

    def beat(self, tx: Tx, job_id: int, run_id: str, done: int, total: int, now: datetime) -> bool:
        values = {"progress_done": done, "progress_total": total, "seen_at": now}
        return self._changed(tx, job_id, run_id, values)

    def ask_to_cancel(self, tx: Tx, job_id: int, now: datetime) -> bool:
        this = jobs.c.id == job_id
        ended = {"state": JobState.CANCELLED.value, "cancel_asked_at": now, "finished_at": now}
        if connection(tx).execute(sa.update(jobs).where(this, JOB_WAITS).values(ended)).rowcount:
            return True
        asked = {"cancel_asked_at": sa.func.coalesce(jobs.c.cancel_asked_at, sa.literal(now, jobs.c.asked_at.type))}
        return connection(tx).execute(sa.update(jobs).where(this, JOB_RUNS).values(asked)).rowcount > 0

    def give_back(self, tx: Tx, job_id: int, run_id: str, counted: bool) -> bool:
        values: dict[str, Any] = {"state": JobState.WAITING.value, "run_id": None}
        if not counted:
            values["starts"] = jobs.c.starts - 1
        return self._changed(tx, job_id, run_id, values)

    def finish(
        self,
        tx: Tx,
        job_id: int,
        run_id: str,
        state: JobState,
        now: datetime,
        failure: str = "",
        result: JobResult | None = None,
    ) -> bool:
        values: dict[str, Any] = {"state": state.value, "finished_at": now, "failure": failure}
        if result is not None:
            values |= {"result_name": result.name, "result_type": result.content_type, "result": result.body}
        return self._changed(tx, job_id, run_id, values)

    def _changed(self, tx: Tx, job_id: int, run_id: str, values: dict[str, Any]) -> bool:
        changed = connection(tx).execute(_change.values(values), {"job_id": job_id, "of_run": run_id})
        return changed.rowcount > 0


def _read(row: Any) -> Job | None:
    if row is None:
        return None
    codec, parameters = _WANTED.get(row.kind), getattr(row, "parameters", None)
    return Job(
        job_id=row.id,
        key=row.key,
        kind=JobKind(row.kind) if codec else row.kind,
        wanted=codec.load(parameters) if codec and parameters else None,
        state=JobState(row.state),
        asked_at=row.asked_at,
        asked_by=row.asked_by,
        asked_way=row.asked_way,
        starts=row.starts,
        run_id=row.run_id,
        started_at=row.started_at,
        seen_at=row.seen_at,
        done=row.progress_done,
        total=row.progress_total,
        cancel_asked_at=row.cancel_asked_at,
        finished_at=row.finished_at,
        failure=row.failure,
        result_name=row.result_name,
        result_type=row.result_type,
    )


# ---------------------------------------------------------------------------------------------------------- audit

MAX_AUDIT_CHARS = 300
"""Of one column: a name is shorter, and a text has no place there."""

_lines = sa.select(audit).order_by(audit.c.id.desc()).limit(sa.bindparam("at_most"))


def _first_since(since: datetime) -> "sa.ScalarSelect[int]":
    """The smallest number of a line since then. Without it, one older line after the other would be looked at until
    enough are found; ``+ 0`` keeps the store from looking for it in just that way."""
    return sa.select(sa.func.min(audit.c.id + 0)).where(audit.c.at >= since).scalar_subquery()


class StoredAudit:
    """Implements ``ports.console.Audit``."""

    def write(self, tx: Tx, entry: AuditEntry) -> None:
        values = asdict(entry)
        del values["number"]
        row = {name: _line(value) if isinstance(value, str) else value for name, value in values.items()}
        connection(tx).execute(sa.insert(audit), row)

    def find(self, tx: Tx, wanted: AuditFilter) -> Sequence[AuditEntry]:
        query = _lines
        if wanted.since is not None:
            query = query.where(audit.c.at >= wanted.since, audit.c.id >= _first_since(wanted.since))
        if wanted.actor:
            query = query.where(audit.c.actor == wanted.actor)
        if wanted.subject:
            query = query.where(audit.c.subject == wanted.subject)
        if wanted.before is not None:
            query = query.where(audit.c.id < wanted.before)
        rows = connection(tx).execute(query, {"at_most": wanted.limit})
        return tuple(
            AuditEntry(
                row.at, row.actor, Way(row.way), row.action, SubjectKind(row.subject_kind), row.subject, row.outcome,
                row.id,
            )
            for row in rows
        )  # fmt: skip


def _line(text: str) -> str:
    return str(clean(text))[:MAX_AUDIT_CHARS]
