"""Dead letters as an operator's wish meets them."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.domain.names import LinkId, Side
from app.ports import PAGES, Letter, Tx
from app.store.database import connection
from app.store.schema import letters

HOLDING_NOTHING = ("AddNote", "ReadNote")
"""What a letter is about behind which nothing waits."""
IS_PAGE = sa.or_(
    letters.c.kind == "escalation",
    sa.and_(letters.c.kind == "event", letters.c.side == Side.TRUTHVOUCH),
    sa.and_(
        letters.c.kind == "effect",
        letters.c.side == Side.PAGERDUTY,
        letters.c.effect.in_(PAGES),
    ),
)
"""``Letter.is_page``, asked of the store."""


def newest_page(tx: Tx) -> Letter | None:
    """The newest open letter that may be a page which nobody got; None where there is none."""
    waiting = sa.select(letters).where(letters.c.closed_at.is_(None), IS_PAGE)
    row = connection(tx).execute(waiting.order_by(letters.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _letter(row)


def _letter(row: sa.Row[Any]) -> Letter:
    return Letter(
        letter_id=row.id,
        kind=row.kind,
        reason=row.reason,
        at=row.at,
        attempts=row.attempts,
        detail=row.detail,
        link_id=None if row.link_id is None else LinkId(row.link_id),
        side=None if row.side is None else Side(row.side),
        inbox_id=row.inbox_id,
        effect=row.effect,
        closed_at=row.closed_at,
        outcome=row.outcome,
        closed_by=row.closed_by,
    )


class StoredLetters:
    """Reads and closes them; ``StoredLinks.add_letter`` writes them."""

    def get(self, tx: Tx, letter_id: int) -> Letter | None:
        """The letter, locked, or None."""
        query = sa.select(letters).where(letters.c.id == letter_id).with_for_update()
        row = connection(tx).execute(query).one_or_none()
        return None if row is None else _letter(row)

    def others_of_lane(self, tx: Tx, letter: Letter) -> tuple[str, ...]:
        """The reasons of the other open letters behind which that link and side waits, oldest first."""
        return held_by(tx, letter.link_id, letter.side, letter.letter_id)

    def close(self, tx: Tx, letter_id: int, outcome: str, at: datetime, by: str) -> None:
        """Nobody has to decide about it any more."""
        values = {"closed_at": at, "outcome": outcome, "closed_by": by}
        connection(tx).execute(sa.update(letters).where(letters.c.id == letter_id).values(values))

    def tried(self, tx: Tx, letter_id: int) -> None:
        """It was tried once more, in vain."""
        once_more = {"attempts": letters.c.attempts + 1}
        connection(tx).execute(sa.update(letters).where(letters.c.id == letter_id).values(once_more))


def held_by(tx: Tx, link_id: LinkId | None, side: Side | None, but: int = 0) -> tuple[str, ...]:
    """The reasons of the open letters behind which that link and side waits, oldest first."""
    of_the_lane = sa.and_(letters.c.link_id == link_id, letters.c.side == side, letters.c.id != but)
    holding = sa.and_(
        letters.c.kind == "effect", letters.c.closed_at.is_(None), letters.c.effect.not_in(HOLDING_NOTHING)
    )
    query = sa.select(letters.c.reason).where(of_the_lane, holding).order_by(letters.c.id)
    return tuple(connection(tx).execute(query).scalars())
