"""Dead letters: look at them, replay them, discard them."""

from flask import Blueprint, Response

from app.domain.words import WishVerb
from app.services.operate import NO_SUCH_LETTER, WORDS, Operate
from app.services.overview import Overview
from app.web.api import shown
from app.web.api.reading import Paged, flag, idempotency_key, letter_id, page_of, query


class LettersQuery(Paged):
    """Which letters."""

    closed = flag(load_default=False)


def install(door: Blueprint, operate: Operate, overview: Overview) -> None:
    """The routes under ``/dead-letters``."""

    @door.get("/dead-letters", provide_automatic_options=False)
    def list_letters() -> Response:
        """Those that wait for a decision, or those that had one."""
        read = query(LettersQuery())
        page = page_of(read)
        return shown.piece("dead_letters", overview.letters(page, read["closed"]), page)

    @door.get("/dead-letters/<number>", provide_automatic_options=False)
    def show_letter(number: str) -> Response:
        """One, with what waits behind it."""
        row = overview.letter(letter_id(number))
        return shown.unknown(NO_SUCH_LETTER, WORDS[NO_SUCH_LETTER]) if row is None else shown.one(row)

    @door.post("/dead-letters/<number>/replay", provide_automatic_options=False)
    def replay(number: str) -> Response:
        """Try it again."""
        return shown.wish(operate(WishVerb.REPLAY, str(letter_id(number)), idempotency_key()))

    @door.post("/dead-letters/<number>/discard", provide_automatic_options=False)
    def discard(number: str) -> Response:
        """Close it without trying."""
        return shown.wish(operate(WishVerb.DISCARD, str(letter_id(number)), idempotency_key()))
