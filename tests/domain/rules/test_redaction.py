"""What is taken out of a text before it leaves."""

import time

import pytest

from app.domain.model.types import Alert, AlertId
from app.domain.rules.rulebook import Redaction, scrub, withheld_texts, withhold


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("ask dana@example.com now", "ask [e-mail] now"),
        ("<Dana.Example+x@mail.example.co.uk>", "<[e-mail]>"),
        ("mail to dana%40example.com", "mail to [e-mail]"),
        ("dana＠example.com", "[e-mail]"),
        ("from 192.0.2.7:443", "from [IP address]:443"),
        ("from 2001:db8::1, ::1 and fe80::1%eth0", "from [IP address], [IP address] and [IP address]%eth0"),
        ("from 2001:db8:0:0:0:0:0:1.", "from [IP address]."),
        ("user2001:db8::1", "user[IP address]"),
        ("::1", "[IP address]"),
        ("[2001:db8::1]:443", "[[IP address]]:443"),
        ("addr:2001:db8::1: refused", "addr:[IP address]: refused"),
        ("from fe80::, 2001:DB8::/32", "from [IP address], [IP address]/32"),
        ("2001:db8::1x", "[IP address]x"),
        ("2001:db8:0:0:0:0:0:1:443", "[IP address]:443"),
        ("mapped ::ffff:192.0.2.7", "mapped [IP address]:[IP address]"),
        (
            "[::1]:8080, at[::1]:8080 and http://[::1]/",
            "[[IP address]]:8080, at[[IP address]]:8080 and http://[[IP address]]/",
        ),
        ("fe80::1%eth0 [fe80::1%eth0]:22", "[IP address]%eth0 [[IP address]%eth0]:22"),
        ("hosts [2001::1, ::1], host[fe80::1]", "hosts [[IP address], [IP address]], host[[IP address]]"),
        ("addr:fe80::1: refused", "addr:[IP address]: refused"),
        ("fedc:abcd:beef:cafe:dead:feed:face:bade", "[IP address]"),
        ("::dead:beef", "[IP address]"),
        ("see https://dana@example.com/x", "see https:[e-mail]/x"),
    ],
)
def test_addresses_are_replaced(text: str, scrubbed: str):
    assert scrubbed == scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "at 12:30:45",
        "std::vector",
        "a :: b",
        "v1.2.3",
        "claude@20240620",
        "50% @ 3",
        "aa:bb:cc:dd:ee:ff",
        "2024-01-02T03:04:05Z",
        "std::cout prints ActiveRecord::Base via Aws::S3::Client",
        "Data::Dumper",
        "A::B::C",
        "Foo::Bad::Cafe",
        "Dead::Beefy",
        "https://example.com/@user.name/x",
        "1::2::3",
        "_::1",
        "Foo_::A",
        "my_db::add()",
        "fe::add(x)",
        "Cafe::Bad",
        "Foo::Bad: wrong, Cafe::Bad: too",
        "dead::beef()",
        "abc::def",
        "::Fade.new",
        "x[1::2], a[::2], a[::1], a[b::2] and [1::2]",
        "x[::2, 1::3], f()[::10], y[0][5::]",
    ],
)
def test_what_is_no_address_stays(text: str):
    assert text == scrub(text)


def test_people_are_replaced_by_their_ids_wherever_they_stand():
    assert scrub("USR_123 and xusr_123x", ["usr_123"]) == "[person] and x[person]x"


def test_a_short_id_is_replaced_as_a_whole_word_only():
    assert scrub("42 of 420", ["42"]) == "[person] of 420"


def test_each_person_of_a_list_is_replaced():
    assert scrub("Dana Example, then Kim", ["Dana Example, Kim"]) == "[person], then [person]"
    assert scrub("Kim", ["Dana Example; Kim"]) == "[person]"


@pytest.mark.parametrize("repeated", ["a", "a@", "a@a.", "1.", "f:", ":", "@a.bc", " ", "é", "[1::2", "[::1, ", "[ "])
def test_the_time_a_text_takes_grows_with_its_length_only(repeated: str):
    started = time.process_time()
    scrub(repeated * (400_000 // len(repeated)), ["usr_77"])
    assert time.process_time() - started < 5


def alert(**fields: str) -> Alert:
    return Alert(alert_id=AlertId("alert_1"), **fields)  # type: ignore[arg-type]


def test_prompt_and_answer_are_withheld_by_default_and_the_claim_is_not():
    answer = alert(query="Is the Earth flat?", response="Yes, it is flat indeed", claim="Earth is flat")
    assert withheld_texts(answer, Redaction()) == ("Yes, it is flat indeed", "Is the Earth flat?")


def test_an_answer_that_is_also_the_claim_is_not_withheld():
    answer = alert(response="The Earth is flat", claim="The Earth is flat")
    assert withheld_texts(answer, Redaction()) == ()
    assert withheld_texts(answer, Redaction(send_claim=False)) == ("The Earth is flat",)


def test_a_text_too_short_to_be_telling_is_not_looked_for():
    assert withheld_texts(alert(query="Yes"), Redaction()) == ()


def test_every_repetition_of_a_withheld_text_is_replaced():
    assert withhold("a secret prompt, a secret prompt", ["secret prompt"]) == "a [withheld], a [withheld]"
