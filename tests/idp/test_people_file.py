"""What a spreadsheet has written: who is in it, and what is wrong, with the line."""

from __future__ import annotations

import io

import pytest

from browserid_sasl.idp import people_file
from browserid_sasl.idp.accounts import Accounts
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.people_file import MAX_LINE, MOST_FAULTS, Fault, Listed, read_people


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database, "example.org")


def people(accounts: Accounts, octets: bytes) -> list[tuple[str, bool]]:
    """Who is in a file in which nothing is wrong."""
    listed, faults = read_people(io.BytesIO(octets), accounts.address)
    assert not faults
    return [(each.email, each.invite) for each in listed]


def faults(accounts: Accounts, octets: bytes) -> list[tuple[int, str]]:
    """The lines with something wrong, and what it is."""
    found = read_people(io.BytesIO(octets), accounts.address)[1]
    assert all(each.remedy for each in found)
    return [(each.line, each.message) for each in found]


BOTH = [("bob@example.org", True), ("carol@example.org", False)]


@pytest.mark.parametrize(
    "octets",
    [
        b"address,invite\nbob@example.org,yes\ncarol@example.org,no\n",
        b"\xef\xbb\xbfaddress;invite\r\nbob@example.org;\r\ncarol@example.org;NO",
        b'"Invite"\t"ADDRESS"\n\t Bob@Example.ORG \nno\t"carol@example.org"\n',
        b'address,invite\n\n"bob@example.org",yes\n,\n"""carol""@example.org",no\n',
    ],
    ids=["usual", "Excel", "tabs", "empty lines and quotes"],
)
def test_what_spreadsheets_write(accounts: Accounts, octets: bytes) -> None:
    assert people(accounts, octets) == BOTH


def test_people_are_invited_unless_it_says_no(accounts: Accounts) -> None:
    assert people(accounts, b"address\nbob@example.org\n") == BOTH[:1]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"bob@example.com", "'bob@example.com' is not an address of example.org"),
        (b"bob", "'bob' is not an address of example.org"),
        (b"b ob@example.org", "'b ob@example.org' is not a valid e-mail address"),
        (b"Alice@example.org", "alice@example.org is on line 2 already"),
        (b"bob@example.org,yes", "there are 2 fields, and 1 columns"),
        (b'"bob@example.org', "its quotation marks do not fit"),
        (b'"bob"@example.org', "its quotation marks do not fit"),
        (b"b\xf6b@example.org", "the line is not UTF-8"),
        (b"bob@example.org\0", "there is a NUL or a CR in the line"),
        (b"bob@example.org\rx", "there is a NUL or a CR in the line"),
    ],
)
def test_what_is_wrong_in_a_line_is_said_and_the_next_is_read(
    accounts: Accounts, line: bytes, what: str
) -> None:
    octets = b"address\nalice@example.org\n" + line + b"\nx@example.com\n"
    first, second = faults(accounts, octets)
    assert first == (3, what)
    assert second[0] == 4


def test_an_answer_is_yes_or_no(accounts: Accounts) -> None:
    octets = b"address,invite\nbob@example.org,perhaps\n"
    assert faults(accounts, octets) == [(2, "invite is 'perhaps'")]


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        (b"", "the file is empty"),
        (b"bob@example.org\ncarol@example.com\n", "there is no column 'address'"),
        (b"address,Name\nx@example.com,x\n", "the column 'name' is not known"),
        (b"address,address\nx,x\n", "there are several columns 'address'"),
        ("address\nx\n".encode("utf-16"), "the file is UTF-16"),
        (b"address" + b"," * MAX_LINE, f"the line has more than {MAX_LINE} octets"),
    ],
)
def test_a_file_that_cannot_be_read_is_read_no_further(
    accounts: Accounts, octets: bytes, what: str
) -> None:
    assert faults(accounts, octets) == [(1, what)]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_how_long_a_line_may_be(accounts: Accounts, end: bytes) -> None:
    line = b"b@example.org" + b" " * (MAX_LINE - 13)
    assert faults(accounts, b"address\n" + line + end) == []
    [(number, _)] = faults(accounts, b"address\n" + line + b" " + end)
    assert number == 2


@pytest.mark.parametrize("column", [b"password", b"Password_Hash", b"argon2 hash"])
def test_passwords_are_not_imported(accounts: Accounts, column: bytes) -> None:
    [fault] = read_people(io.BytesIO(b"address," + column + b"\n"), accounts.address)[1]
    assert "passwords are not imported" in fault.remedy


def test_it_is_not_read_without_end(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(faults(accounts, b"address\n" + b"x\n" * 1_000)) == MOST_FAULTS
    monkeypatch.setattr(people_file, "MOST_LINES", 2)
    read, [fault] = read_people(
        io.BytesIO(b"address\na@example.org\nb@example.org\nc@example.org\n"), accounts.address
    )
    assert read == [Listed(2, "a@example.org", invite=True)]
    assert fault == Fault(3, "there are more than 2 lines", "import it in several files")
