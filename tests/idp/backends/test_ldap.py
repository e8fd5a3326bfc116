"""People whom a directory knows: OpenLDAP's server, with its password policies."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from browserid_sasl.idp.backends import (
    Denial,
    DeniedError,
    Identity,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.backends.ldap import LdapBackend
from tests.idp.backends.conftest import access, place
from tests.support import directory as support
from tests.support.directory import PASSWORD, Directory, Person
from tests.support.patience import wait_until
from tests.support.provider import DOMAIN

WRONG = "not the password"


def denial(backend: LdapBackend, email: str, password: str = PASSWORD) -> Denial:
    """Why somebody is not let in."""
    with pytest.raises(DeniedError) as caught:
        backend.verify(email, password)
    return caught.value.denial


def identity(vouched: Vouched | None) -> Identity:
    assert vouched is not None
    return Identity(vouched.email, "staff", vouched.subject, vouched.version)


class TestAPassword:
    def test_the_right_one_says_who_it_is(
        self, directory: Directory, backend: LdapBackend, person: Person
    ) -> None:
        directory.add(person, more="displayName: Lena Ørsted\nou: Physics\nou: Library\n")
        vouched = backend.verify(person.mail, PASSWORD)
        assert vouched is not None
        assert (vouched.email, len(vouched.subject)) == (person.mail, 36)
        assert vouched.claims == {"name": ["Lena Ørsted"], "units": ["Physics", "Library"]}

    @pytest.mark.parametrize("password", ["", WRONG, PASSWORD + " ", PASSWORD.upper(), "\0"])
    def test_another_one_does_not(
        self, directory: Directory, backend: LdapBackend, person: Person, password: str
    ) -> None:
        """An empty one is taken by servers, as nobody's: it never gets to one."""
        directory.add(person)
        assert denial(backend, person.mail, password) is Denial.WRONG_PASSWORD

    def test_it_may_have_any_letters(
        self, directory: Directory, backend: LdapBackend, person: Person
    ) -> None:
        odd = Person(person.uid, person.mail, 'ø*)(uid=*"\\, #;+')
        directory.add(odd)
        assert backend.verify(odd.mail, odd.password) is not None

    @pytest.mark.parametrize("password", ["", WRONG])
    def test_an_address_that_is_not_there_is_for_others_to_know(
        self, backend: LdapBackend, password: str
    ) -> None:
        assert backend.verify(f"nobody@{DOMAIN}", password) is None

    def test_after_too_many_wrong_ones_it_is_locked(
        self, directory: Directory, backend: LdapBackend, person: Person
    ) -> None:
        directory.add(person)
        for _ in range(3):
            assert denial(backend, person.mail, WRONG) is Denial.WRONG_PASSWORD
        assert denial(backend, person.mail) is Denial.LOCKED

    def test_one_that_has_expired_is_said_to_who_has_it(
        self, directory: Directory, backend: LdapBackend, person: Person
    ) -> None:
        directory.add(person)
        directory.set(person, "pwdPolicySubentry", f"cn=short,{support.BASE}")
        assert denial(backend, person.mail, WRONG) is Denial.WRONG_PASSWORD
        wait_until(
            lambda: _denied(backend, person.mail) is Denial.PASSWORD_EXPIRED,
            "the password's expiry",
        )

    def test_one_that_has_to_be_changed_first_does_not_let_in(
        self, directory: Directory, backend: LdapBackend, person: Person
    ) -> None:
        directory.add(person)
        directory.set(person, "pwdReset", "TRUE")
        assert denial(backend, person.mail) is Denial.PASSWORD_RESET


def _denied(backend: LdapBackend, email: str) -> Denial | None:
    try:
        backend.verify(email, PASSWORD)
    except DeniedError as error:
        return error.denial
    return None


class TestWhoIsFound:
    @pytest.mark.parametrize(
        "user",
        ["*", "per*", "a)(uid=*", "*)(uid=*))(|(uid=*", "\\2a", "x\\", "(", ")", "\0", "{address}"],
    )
    def test_nothing_in_an_address_is_a_filter(
        self, directory: Directory, backend: LdapBackend, person: Person, user: str
    ) -> None:
        directory.add(person)
        for filter in ("(mail={address})", "(uid={user})", "(|(uid={user})(mail={address}))"):
            tried = LdapBackend("staff", access(directory), place(filter=filter))
            assert tried.verify(f"{user}@{DOMAIN}", PASSWORD) is None

    @pytest.mark.parametrize(
        "user", ["lena,ou=people", "lena+cn=x", "#04", " lena", "lena\\", 'le"na', "a=b", "*", "\0"]
    )
    def test_nothing_in_an_address_is_a_name(self, directory: Directory, user: str) -> None:
        template = place(base="", dn_template=f"uid={{user}},{support.PEOPLE}")
        tried = LdapBackend("staff", access(directory), template)
        assert tried.verify(f"{user}@{DOMAIN}", PASSWORD) is None

    @pytest.mark.parametrize("user", ["o'hara", "a+b", "a=b", "#x", "a/b", "{user}", "x&y", "a|b"])
    def test_an_address_may_have_what_addresses_have(
        self, directory: Directory, person: Person, user: str
    ) -> None:
        mail = f"{user}@{DOMAIN}"
        directory.add(Person(person.uid, mail))
        tried = LdapBackend("staff", access(directory), place())
        assert tried.verify(mail, PASSWORD) is not None
        directory.remove(person)

    def test_a_template_names_them(self, directory: Directory, person: Person) -> None:
        directory.add(person)
        template = place(base="", dn_template=f"uid={{user}},{support.PEOPLE}")
        tried = LdapBackend("staff", access(directory), template)
        assert tried.verify(person.mail, PASSWORD) is not None
        assert denial(tried, person.mail, WRONG) is Denial.WRONG_PASSWORD

    def test_an_attribute_may_have_the_address_without_its_domain(
        self, directory: Directory, person: Person
    ) -> None:
        directory.add(person)
        by_name = place(filter="(uid={user})", address_attribute="uid")
        assert LdapBackend("staff", access(directory), by_name).verify(person.mail, PASSWORD)

    def test_one_that_has_another_address_is_not_theirs(
        self, directory: Directory, person: Person
    ) -> None:
        directory.add(Person(person.uid, f"another-{person.mail}"))
        tried = LdapBackend("staff", access(directory), place(filter="(uid={user})"))
        assert tried.verify(person.mail, PASSWORD) is None

    def test_one_that_looks_like_another_is_not_that(
        self, directory: Directory, person: Person
    ) -> None:
        """OpenLDAP finds it by the other one's letters, where the attribute is not of ASCII."""
        name = f"k{person.uid}@{DOMAIN}".replace("k", "\N{KELVIN SIGN}", 1)
        given = base64.b64encode(name.encode()).decode()
        directory.add(person, more=f"displayName:: {given}\n")
        by_name = place(filter="(displayName={address})", address_attribute="displayName")
        tried = LdapBackend("staff", access(directory), by_name)
        assert tried.verify(f"k{person.uid}@{DOMAIN}", PASSWORD) is None

    def test_two_are_nobody(
        self, directory: Directory, backend: LdapBackend, person: Person
    ) -> None:
        for uid in (person.uid, f"{person.uid}-again"):
            directory.add(Person(uid, person.mail))
        assert denial(backend, person.mail) is Denial.AMBIGUOUS

    def test_who_is_in_no_group_is_not_admitted_and_only_told_with_the_password(
        self, directory: Directory, backend: LdapBackend, person: Person
    ) -> None:
        directory.add(person, member=False)
        assert denial(backend, person.mail) is Denial.NOT_ADMITTED
        assert denial(backend, person.mail, WRONG) is Denial.WRONG_PASSWORD
        everybody = LdapBackend("staff", access(directory), place(groups=()))
        assert everybody.verify(person.mail, PASSWORD) is not None


class TestCheck:
    """Whether it is still so."""

    def test_all_as_it_was(
        self, directory: Directory, backend: LdapBackend, person: Person
    ) -> None:
        directory.add(person)
        vouched = backend.verify(person.mail, PASSWORD)
        assert backend.check(identity(vouched)) == vouched

    def test_what_is_gone(self, directory: Directory, backend: LdapBackend, person: Person) -> None:
        directory.add(person)
        known = identity(backend.verify(person.mail, PASSWORD))
        directory.change_group("delete", person)
        assert self.denial(backend, known) is Denial.NOT_ADMITTED
        directory.set(person, "mail", f"renamed-{person.mail}")
        assert self.denial(backend, known) is Denial.GONE
        directory.remove(person)
        assert self.denial(backend, known) is Denial.GONE

    def test_disabled(self, directory: Directory, backend: LdapBackend, person: Person) -> None:
        directory.add(person)
        known = identity(backend.verify(person.mail, PASSWORD))
        directory.set(person, "pwdAccountLockedTime", "000001010000Z")
        assert self.denial(backend, known) is Denial.DISABLED

    def test_a_stranger_who_guesses_ends_nothing(
        self, directory: Directory, backend: LdapBackend, person: Person
    ) -> None:
        directory.add(person)
        known = identity(backend.verify(person.mail, PASSWORD))
        for _ in range(3):
            assert denial(backend, person.mail, WRONG) is Denial.WRONG_PASSWORD
        assert denial(backend, person.mail) is Denial.LOCKED
        assert backend.check(known).subject == known.subject

    def test_another_password_is_another_version_and_another_entry_another_subject(
        self, directory: Directory, backend: LdapBackend, person: Person
    ) -> None:
        directory.add(person)
        known = identity(backend.verify(person.mail, PASSWORD))
        support.seconds(1.1)
        directory.set_password(person, "another password")
        now = backend.check(known)
        assert (now.subject, now.version == known.version) == (known.subject, False)
        directory.change_group("delete", person)
        directory.remove(person)
        directory.add(person)
        assert backend.check(known).subject != known.subject

    def denial(self, backend: LdapBackend, known: Identity) -> Denial:
        with pytest.raises(DeniedError) as caught:
            backend.check(known)
        return caught.value.denial


class TestConnections:
    @pytest.mark.parametrize("way", ["ldap", "ldaps", "ldapi"])
    def test_each_way_there(self, directory: Directory, person: Person, way: str) -> None:
        directory.add(person)
        servers = (getattr(directory, way),)
        tried = LdapBackend("staff", access(directory, servers=servers), place())
        assert tried.verify(person.mail, PASSWORD) is not None

    @pytest.mark.parametrize("way", ["ldap", "ldaps"])
    def test_an_authority_that_is_not_ours_is_not_believed(
        self, directory: Directory, tmp_path: Path, way: str
    ) -> None:
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(other)
        self.assert_unavailable(directory, servers=(getattr(directory, way),), ca_file=other)

    @pytest.mark.parametrize("way", ["ldap", "ldaps"])
    def test_a_name_that_is_not_its_is_not_believed(self, directory: Directory, way: str) -> None:
        server = getattr(directory, way).replace("127.0.0.1", "127.0.0.2")
        self.assert_unavailable(directory, servers=(server,))

    def test_a_setting_of_the_machine_does_not_change_that(
        self, directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(other)
        monkeypatch.setenv("LDAPTLS_REQCERT", "never")
        monkeypatch.setenv("LDAPTLS_CACERT", str(directory.ca_file))
        self.assert_unavailable(directory, ca_file=other)

    def test_a_server_without_starttls_learns_nothing(self, directory: Directory) -> None:
        heard = bytearray()
        with listening(heard.extend) as port:
            self.assert_unavailable(directory, servers=(f"ldap://127.0.0.1:{port}",), timeout=1_000)
        assert b"1.3.6.1.4.1.1466.20037" in heard
        assert support.SERVICE_PASSWORD.encode() not in heard

    def test_a_wrong_password_of_the_provider_lets_nobody_in(
        self, directory: Directory, person: Person
    ) -> None:
        directory.add(person)
        said = self.assert_unavailable(directory, bind_password="wrong-" + PASSWORD)
        assert "wrong-" not in said

    def test_the_next_server_is_asked(self, directory: Directory, person: Person) -> None:
        directory.add(person)
        servers = ("ldaps://127.0.0.1:1", directory.ldaps)
        tried = LdapBackend("staff", access(directory, servers=servers), place())
        assert tried.verify(person.mail, PASSWORD) is not None

    @pytest.mark.parametrize("octets", [b"", b"0", b"HTTP/1.0 400 No\r\n\r\n", b"\x30\x84\xff"])
    def test_a_server_that_is_slow_or_none_does_not_hold_up(
        self, directory: Directory, octets: bytes
    ) -> None:
        for scheme in ("ldap", "ldaps"):
            with listening(lambda _: None, octets) as port:
                began = time.monotonic()
                self.assert_unavailable(
                    directory, servers=(f"{scheme}://127.0.0.1:{port}",), timeout=1_000
                )
                assert time.monotonic() - began < 20

    def test_one_that_stalls_in_the_middle_is_cut_off(self, directory: Directory) -> None:
        """It sends the beginning of a record of TLS, whose rest the library would wait for."""
        passed: list[int] = []
        with forwarded(directory.tls_port, passed) as port:
            LdapBackend(
                "staff", access(directory, servers=(f"ldaps://127.0.0.1:{port}",)), place()
            ).verify(f"nobody@{DOMAIN}", PASSWORD)
            wait_until(lambda: passed, "the end of the connection")
        # In the last answer, which has 36 octets there, and before it, whether or not the 24 were
        # passed on with which the server ends.
        for missing in (30, 65):
            with forwarded(directory.tls_port, [], max(passed) - missing) as port:
                began = time.monotonic()
                self.assert_unavailable(
                    directory, servers=(f"ldaps://127.0.0.1:{port}",), timeout=1_000
                )
                assert time.monotonic() - began < 20

    def assert_unavailable(self, directory: Directory, **changed: object) -> str:
        tried = LdapBackend("staff", access(directory, **changed), place())
        with pytest.raises(UnavailableError) as caught:
            tried.verify(f"nobody@{DOMAIN}", PASSWORD)
        with pytest.raises(UnavailableError):
            tried.check(Identity(f"nobody@{DOMAIN}", "staff", "x"))
        return str(caught.value)


@contextmanager
def listening(hear: object, octets: bytes = b"") -> Iterator[int]:
    """A server that says something to whoever connects, and then waits; its port."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stack.callback(server.shutdown, socket.SHUT_RDWR)

        def serve(connection: socket.socket) -> None:
            # Who has heard enough goes away.
            with connection, suppress(OSError):
                connection.sendall(octets)
                while heard := connection.recv(4096):
                    hear(heard)  # type: ignore[operator]

        _accept(server, serve)
        yield server.getsockname()[1]


@contextmanager
def forwarded(port: int, passed: list[int], most: int = 1 << 20) -> Iterator[int]:
    """Somebody in the middle, who passes on so many octets of what a server says; their port.

    :param passed: gets how many there were, for each connection.
    """
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stack.callback(server.shutdown, socket.SHUT_RDWR)

        def serve(connection: socket.socket) -> None:
            beyond = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            stack.enter_context(connection)
            threading.Thread(target=_pass_on, args=(connection, beyond), daemon=True).start()
            passed.append(_pass_on(beyond, connection, most))

        _accept(server, serve)
        yield server.getsockname()[1]


def _accept(server: socket.socket, serve: object) -> None:
    def run() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()  # type: ignore[arg-type]

    threading.Thread(target=run, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, most: int = 1 << 20) -> int:
    """How many octets there were."""
    count = 0
    with suppress(OSError):
        while octets := source.recv(4096):
            target.sendall(octets[: max(0, most - count)])
            count += len(octets)
        target.shutdown(socket.SHUT_WR)
    return count


class TestHowItIs:
    def test_nothing_is_wrong(self, backend: LdapBackend) -> None:
        assert backend.probe() == []

    def test_each_server_is_asked_also_one_that_nobody_needs(self, directory: Directory) -> None:
        servers = (directory.ldaps, "ldaps://127.0.0.1:1")
        [fault] = LdapBackend("staff", access(directory, servers=servers), place()).probe()
        assert fault.startswith("ldaps://127.0.0.1:1: ")

    def test_who_the_provider_is_and_what_it_may_see(self, directory: Directory) -> None:
        wrong = access(directory, bind_password="wrong")
        [fault] = LdapBackend("staff", wrong, place()).probe()
        assert "is not taken" in fault
        elsewhere = place(base=f"ou=nowhere,{support.BASE}")
        [fault] = LdapBackend("staff", access(directory), elsewhere).probe()
        assert "there is no entry 'ou=nowhere," in fault
