"""What may leave for PagerDuty, and what is taken out of it first.

By default the claim and the truth leave; prompts, answers and people do not (``Redaction``). The fields themselves are
easy: they are sent or not. The work here is free text, which may repeat what was not to leave.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import replace

from app.domain.alert import Alert
from app.domain.fit import clean
from app.domain.rulebook import Redaction
from app.domain.words import AlertWord, Word

E_MAIL = "[e-mail]"
IP_ADDRESS = "[IP address]"
PERSON = "[person]"
WITHHELD = "[withheld]"

MIN_WITHHELD_CHARS = 8
"""A prompt or answer shorter than this is not looked for in other texts: "Yes" would be found everywhere."""
_MIN_EMBEDDED_CHARS = 4
"""A person's id shorter than this is only replaced as a whole word."""

MIN_IPV4_DOTS, MIN_IPV6_COLONS = 3, 2
"""A text with fewer holds no such address: most texts are not searched at all."""

# Every repetition is bounded, so that a long text without any address costs no more than its length.
_LOCAL_PART = re.compile(r"[^\s@＠<>(),;:\[\]\\]{1,64}(?<!/)\Z")
"""It ends in no slash: ``https://example.com/@user.name`` is no address."""
_AT_DOMAIN = re.compile(r"(?:@|＠|%40)(?:[\w-]{1,63}\.){1,127}(?!\d+\b)[\w-]{2,63}")
_IPV4 = re.compile(r"(?<!\d)\d{1,3}(?:\.\d{1,3}){3}(?!\d)")
_IPV6 = re.compile(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}")
_MAPPED = "::ffff"
"""What stands before an IPv4 address that is written as one of IPv6. https://www.rfc-editor.org/rfc/rfc4291#section-2.5.5.2"""
_WORD = re.compile(r"\w")
_MAX_SLICE_CHARS = 20
_SLICE_BEGIN = re.compile(r"(?P<sequence>[\w)\]])?\[[\d:, -]*\Z")
_SLICE_END = re.compile(rf"[\d:, -]{{0,{_MAX_SLICE_CHARS}}}\](?!:\d)")
"""No port follows: ``[::1]:8080``."""
_SHORT_WORDS, _SHORT_NUMBERS = re.compile(r"\w{0,3}::\w{0,3}"), re.compile(r"\d{0,3}::\d{0,3}")
"""The first part of an address that is in use has four digits: 2001, fe80, fd00."""


def scrub(text: str, people: Iterable[str] = ()) -> str:
    """The text without e-mail addresses, IP addresses and the given people's ids, names or addresses.

    Addresses are recognised as people write them (``dana@example.com``, ``192.0.2.7``, ``2001:db8::1``), and rather
    once too often than once too seldom: a version number of four parts goes as well.
    """
    for person in sorted(_told(people), key=len, reverse=True):
        text = _without_person(text, person)
    if "@" in text or "＠" in text or "%40" in text:
        text = _without_e_mails(text)
    if text.count(".") >= MIN_IPV4_DOTS:
        text = _IPV4.sub(IP_ADDRESS, text)
    return _IPV6.sub(_ipv6, text) if text.count(":") >= MIN_IPV6_COLONS else text


def _told(people: Iterable[str]) -> set[str]:
    """Each value, and each part of a list written in one value."""
    parts = (part.strip() for value in people for part in (value, *re.split(r"[,;\n]", value)))
    return {part for part in parts if part}


def _without_person(text: str, person: str) -> str:
    exactly = re.escape(person)
    pattern = exactly if len(person) >= _MIN_EMBEDDED_CHARS else rf"(?<!\w){exactly}(?!\w)"
    return re.sub(pattern, PERSON, text, flags=re.IGNORECASE)


def _without_e_mails(text: str) -> str:
    kept, at = [], 0
    for domain in _AT_DOMAIN.finditer(text):
        local = _LOCAL_PART.search(text, max(at, domain.start() - 64), domain.start())
        if local is not None:
            kept += [text[at : local.start()], E_MAIL]
            at = domain.end()
    return "".join([*kept, text[at:]])


def _ipv6(found: re.Match[str]) -> str:
    run = found.group()
    before = ":" if run.startswith(":") and not run.startswith("::") else ""
    after = ":" if run.endswith(":") and not run.endswith("::") else ""
    address = run[len(before) : len(run) - len(after)]
    is_code = _is_code(found.string, found.start() + len(before), found.end() - len(after))
    return before + IP_ADDRESS + after if _is_ipv6(address) and not is_code else run


def _is_code(text: str, start: int, end: int) -> bool:
    """Names or numbers with ``::`` and no other colon between them, where no address would stand so: in a longer word
    (``std::cout``, ``Aws::S3::Client``), without a digit (``Cafe::Bad``), between brackets (``x[1::2]``)."""
    address = text[start:end]
    if ":" in address.replace("::", "") or address.lower() == _MAPPED:
        return False
    in_a_word = bool(_WORD.match(text, start - 1) if start else None) or bool(_WORD.match(text, end))
    return in_a_word or not any(map(str.isdigit, address)) or _is_slice(text, start, end)


def _is_slice(text: str, start: int, end: int) -> bool:
    opened, address = _SLICE_BEGIN.search(text, max(start - _MAX_SLICE_CHARS, 0), start), text[start:end]
    if opened is None or not _SLICE_END.match(text, end):
        return False
    short = _SHORT_WORDS if opened["sequence"] else _SHORT_NUMBERS
    return short.fullmatch(address) is not None and (address != "::1" or bool(opened["sequence"]))


def _is_ipv6(text: str) -> bool:
    try:
        return int(ipaddress.IPv6Address(text)) != 0  # ``::`` alone is a sign, and nobody's address
    except ValueError:
        return False


def withheld_texts(alert: Alert, redaction: Redaction) -> tuple[str, ...]:
    """The texts that may not leave, longest first, so that a message repeating one can be freed of it.

    A text that is also part of something that may leave is none of them.
    """
    allowed, withheld = _sorted_by_policy(alert, redaction)
    long_enough = {text for text in withheld if len(text) >= MIN_WITHHELD_CHARS}
    hidden = [text for text in long_enough if not any(text in other for other in allowed)]
    return tuple(sorted(hidden, key=len, reverse=True))


def _sorted_by_policy(alert: Alert, redaction: Redaction) -> tuple[list[str], list[str]]:
    policy = (
        (alert.claim, redaction.send_claim),
        (alert.truth, redaction.send_claim),
        (alert.query, redaction.send_query),
        (alert.response, redaction.send_response),
    )
    texts = [(clean(text).strip(), sent) for text, sent in policy if text]
    return [text for text, sent in texts if sent], [text for text, sent in texts if not sent]


def withhold(text: str, hidden: Iterable[str]) -> str:
    """The text with every verbatim repetition of a hidden text replaced by a mark."""
    for part in hidden:
        text = text.replace(part, WITHHELD)
    return text


def fit_to_leave(word: Word, redaction: Redaction) -> Word:
    """A TruthVouch word as its author, reason and text may be repeated in a note; unchanged where people may be sent.

    Who resolved an alert is a person like any other: without ``send_people`` it was somebody.
    """
    if not isinstance(word, AlertWord) or redaction.send_people:
        return word
    people = [*word.alert.people.values(), *([word.author] if word.author else [])]
    reason, text = (scrub(said, people) if said else said for said in (word.reason, word.text))
    return replace(word, author=None, reason=reason, text=text)
