"""People whom Active Directory knows: Samba's domain controller."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import pytest
import trustme

from browserid_sasl.idp.backends import (
    Denial,
    DeniedError,
    Identity,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.backends.ldap import Directory as Place
from browserid_sasl.idp.backends.ldap import LdapBackend
from browserid_sasl.idp.backends.ldap_servers import Access
from tests.conftest import SHARED
from tests.idp.backends.conftest import Serve
from tests.idp.backends.test_people import Machine, by_password, events
from tests.support import active_directory as support
from tests.support.active_directory import (
    BASE,
    DOMAIN_USERS,
    GROUPS,
    PASSWORD,
    PEOPLE,
    STAFF,
    Controller,
    Person,
    active_directory,
    another,
)
from tests.support.browser import Browser
from tests.support.provider import DOMAIN, RunningProvider

WRONG: Final = "not the password"
LOCKED_AFTER: Final = 3
NEXT: Final = "Another pass word, 8"

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def controller(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Controller]:
    """A domain with nobody in it."""
    with active_directory(
        pytestconfig.stash[SHARED], tmp_path_factory.mktemp("ad") / "d"
    ) as controller:
        yield controller


@pytest.fixture
def person() -> Person:
    """Somebody who is not in the domain yet, and was not before."""
    name = f"person{next(_numbers)}"
    return Person(name, f"{name}@{DOMAIN}")


def access(controller: Controller, **changed: object) -> Access:
    given: dict[str, object] = {
        "servers": (controller.ldaps,),
        "ca_file": controller.ca_file,
        "plaintext": False,
        "bind_dn": support.SERVICE_NAME,
        "bind_password": support.SERVICE_PASSWORD,
        "timeout": 20_000,
    }
    return Access(**(given | changed))  # type: ignore[arg-type]


def place(**changed: object) -> Place:
    given: dict[str, object] = {
        "base": BASE,
        "filter": "(&(objectCategory=person)(objectClass=user)(mail={address}))",
        "dn_template": "",
        "address_attribute": "mail",
        "groups": (STAFF,),
        "claims": {},
    }
    return Place(**(given | changed))  # type: ignore[arg-type]


Make: TypeAlias = "Callable[..., LdapBackend]"


@pytest.fixture
def found_by(controller: Controller) -> Make:
    """A backend that finds people in another way than usual."""
    return lambda **changed: LdapBackend("windows", access(controller), place(**changed))


@pytest.fixture
def backend(found_by: Make) -> LdapBackend:
    return found_by()


@pytest.fixture
def served(serve: Serve, backend: LdapBackend) -> RunningProvider:
    return serve(backend)


def denial(backend: LdapBackend, email: str, password: str = PASSWORD) -> Denial:
    """Why somebody is not let in."""
    with pytest.raises(DeniedError) as caught:
        backend.verify(email, password)
    return caught.value.denial


def known(backend: LdapBackend, person: Person) -> Identity:
    """Somebody who has signed in."""
    vouched = backend.verify(person.mail, person.password)
    assert vouched is not None
    return Identity(vouched.email, "windows", vouched.subject, vouched.version)


def ended(backend: LdapBackend, identity: Identity) -> Denial:
    """Why somebody does not go on."""
    with pytest.raises(DeniedError) as caught:
        backend.check(identity)
    return caught.value.denial


class TestWhoIsFound:
    def test_the_subject_is_the_guid_as_windows_shows_it(
        self, controller: Controller, backend: LdapBackend, person: Person
    ) -> None:
        controller.add(person)
        assert known(backend, person).subject == controller.guid(person.dn)

    @pytest.mark.parametrize(
        ("filter", "attribute"),
        [("(sAMAccountName={user})", "sAMAccountName"), ("(mail={address})", "mail")],
    )
    def test_by_their_name_or_address(
        self, controller: Controller, found_by: Make, person: Person, filter: str, attribute: str
    ) -> None:
        controller.add(person)
        assert known(found_by(filter=filter, address_attribute=attribute), person).subject

    def test_by_their_principal_name(
        self, controller: Controller, found_by: Make, person: Person
    ) -> None:
        controller.add(person, userPrincipalName=f"lena@{DOMAIN}")
        by_principal = found_by(
            filter="(userPrincipalName={address})", address_attribute="userPrincipalName"
        )
        assert by_principal.verify(f"lena@{DOMAIN}", PASSWORD) is not None
        assert by_principal.verify(person.mail, PASSWORD) is None

    @pytest.mark.parametrize("kind", ["SMTP", "smtp"])
    def test_by_each_of_their_addresses(
        self, controller: Controller, found_by: Make, person: Person, kind: str
    ) -> None:
        email = f"another-{person.mail}"
        controller.add(
            person, proxyAddresses=[f"SMTP:{person.mail}x", f"{kind}:{email}", f"sip:x{email}"]
        )
        by_proxy = found_by(
            filter="(proxyAddresses=smtp:{address})", address_attribute="proxyAddresses"
        )
        vouched = by_proxy.verify(email, PASSWORD)
        assert vouched is not None
        assert vouched.email == email
        # What has another kind is an address of something else.
        by_any = found_by(
            filter=f"(sAMAccountName={person.name})(!(cn={{user}})))".replace("(s", "(&(s", 1),
            address_attribute="proxyAddresses",
        )
        assert by_any.verify(f"x{email}", PASSWORD) is None

    def test_a_contact_with_the_address_is_nobody(
        self, controller: Controller, backend: LdapBackend, found_by: Make, person: Person
    ) -> None:
        controller.add(person)
        controller.make(
            f"CN={person.name} (contact),{PEOPLE}", objectClass="contact", mail=person.mail
        )
        assert known(backend, person).subject
        careless = found_by(filter="(&(objectCategory=person)(mail={address}))")
        assert denial(careless, person.mail) is Denial.AMBIGUOUS

    def test_two_are_nobody(
        self, controller: Controller, backend: LdapBackend, person: Person
    ) -> None:
        for name in (person.name, f"{person.name}-too"):
            controller.add(Person(name, person.mail))
        assert denial(backend, person.mail) is Denial.AMBIGUOUS

    @pytest.mark.parametrize("user", ["*", "per*", "*)(objectClass=*", "\\2a", "a)(cn=*"])
    def test_nothing_in_an_address_is_a_filter(
        self, controller: Controller, found_by: Make, person: Person, user: str
    ) -> None:
        controller.add(person)
        for filter in ("(mail={address})", "(sAMAccountName={user})"):
            assert found_by(filter=filter).verify(f"{user}@{DOMAIN}", PASSWORD) is None


class TestGroups:
    def test_who_is_in_none_is_not_admitted_and_only_told_with_the_password(
        self, controller: Controller, backend: LdapBackend, person: Person
    ) -> None:
        controller.add(person, member=False)
        assert denial(backend, person.mail) is Denial.NOT_ADMITTED
        assert denial(backend, person.mail, WRONG) is Denial.WRONG_PASSWORD

    def test_a_group_in_the_group_counts_as_deep_as_it_is(
        self, controller: Controller, backend: LdapBackend, person: Person
    ) -> None:
        controller.add(person, member=False)
        inner, middle = (f"CN={person.name} {depth},{GROUPS}" for depth in (1, 2))
        for group in (inner, middle):
            controller.make(group, objectClass="group")
        controller.put_in_group(STAFF, middle)
        controller.put_in_group(middle, inner)
        controller.put_in_group(inner, person.dn)
        identity = known(backend, person)
        controller.take_from_group(middle, inner)
        assert ended(backend, identity) is Denial.NOT_ADMITTED

    def test_a_group_that_has_itself_in_it_ends(
        self, controller: Controller, backend: LdapBackend, person: Person
    ) -> None:
        controller.add(person, member=False)
        group = f"CN={person.name} again,{GROUPS}"
        controller.make(group, objectClass="group", member=person.dn)
        controller.put_in_group(group, group)
        assert denial(backend, person.mail) is Denial.NOT_ADMITTED

    def test_the_primary_group_has_everybody_without_having_them_as_members(
        self, controller: Controller, found_by: Make, person: Person
    ) -> None:
        controller.add(person, member=False)
        assert known(found_by(groups=(DOMAIN_USERS,)), person)
        # It is itself a member there.
        assert known(found_by(groups=(f"CN=Users,CN=Builtin,{BASE}",)), person)
        admins = f"CN=Domain Admins,CN=Users,{BASE}"
        assert denial(found_by(groups=(admins,)), person.mail) is Denial.NOT_ADMITTED

    def test_a_large_group_is_asked_and_not_read(
        self, controller: Controller, found_by: Make, person: Person
    ) -> None:
        """Windows gives 1,500 members at a time."""
        controller.add(person, member=False)
        group = f"CN={person.name} and more,{GROUPS}"
        controller.make_crowd(f"{person.name}crowd", 1_501, group)
        large = found_by(groups=(group,))
        assert denial(large, person.mail) is Denial.NOT_ADMITTED
        controller.put_in_group(group, person.dn)
        assert known(large, person)

    def test_a_claim_that_comes_in_parts_is_not_said_in_part(
        self, controller: Controller, found_by: Make, person: Person
    ) -> None:
        controller.add(person)
        other = f"CN={person.name} too,{GROUPS}"
        controller.make(other, objectClass="group", member=person.dn)
        vouched = found_by(claims={"groups": "memberOf"}).verify(person.mail, PASSWORD)
        assert vouched is not None
        assert sorted(vouched.claims["groups"]) == sorted([STAFF, other])
        # What Windows does by itself if there are more than 1,500.
        parts = {"groups": "memberOf", "first": "memberOf;range=0-0"}
        with pytest.raises(UnavailableError, match="groups"):
            found_by(claims=parts).verify(person.mail, PASSWORD)


STATES: Final[dict[str, tuple[Callable[[Controller, Person], None], Denial]]] = {
    "disabled": (
        lambda controller, person: controller.set(
            person.dn, "userAccountControl", str(0x200 | support.DISABLED)
        ),
        Denial.DISABLED,
    ),
    "expired": (
        lambda controller, person: controller.set(person.dn, "accountExpires", "1"),
        Denial.EXPIRED,
    ),
    "password to be changed": (
        lambda controller, person: controller.set(person.dn, "pwdLastSet", "0"),
        Denial.PASSWORD_RESET,
    ),
    "password expired": (
        lambda controller, person: controller.let_password_expire(person),
        Denial.PASSWORD_EXPIRED,
    ),
    "at another time": (
        lambda controller, person: controller.set_octets(person.dn, "logonHours", bytes(21)),
        Denial.NOT_NOW,
    ),
}


class TestAPassword:
    @pytest.mark.parametrize("password", ["", WRONG, f"{PASSWORD} ", PASSWORD.upper(), "\0"])
    def test_another_one_is_wrong(
        self, controller: Controller, backend: LdapBackend, person: Person, password: str
    ) -> None:
        controller.add(person)
        assert denial(backend, person.mail, password) is Denial.WRONG_PASSWORD

    def test_it_may_have_any_letters(
        self, controller: Controller, backend: LdapBackend, person: Person
    ) -> None:
        odd = Person(person.name, person.mail, 'Grüße *)(uid=*"\\, 1€')
        controller.add(odd)
        assert known(backend, odd)

    def test_an_entry_may_be_called_anything(
        self, controller: Controller, backend: LdapBackend, person: Person
    ) -> None:
        """Its name goes into a filter, and into a bind."""
        controller.add(person)
        controller.rename(person.dn, 'CN=Müller\\, \\"Lena\\" (*\\\\) \\+ \\#', PEOPLE)
        assert known(backend, person)

    @pytest.mark.parametrize("state", STATES)
    def test_what_else_is_wrong_is_said_to_who_has_it_and_to_nobody_else(
        self, controller: Controller, backend: LdapBackend, person: Person, state: str
    ) -> None:
        do, expected = STATES[state]
        controller.add(person)
        do(controller, person)
        assert denial(backend, person.mail) is expected
        assert denial(backend, person.mail, WRONG) is Denial.WRONG_PASSWORD

    def test_after_too_many_wrong_ones_it_is_locked_until_somebody_unlocks_it(
        self, controller: Controller, backend: LdapBackend, person: Person
    ) -> None:
        controller.add(person)
        identity = known(backend, person)
        for _ in range(LOCKED_AFTER):
            assert denial(backend, person.mail, WRONG) is Denial.WRONG_PASSWORD
        assert denial(backend, person.mail) is Denial.LOCKED
        # What its owner has goes on, or strangers could end it.
        assert backend.check(identity).version == identity.version
        controller.set(person.dn, "lockoutTime", "0")
        assert known(backend, person) == identity


class TestOnThePage:
    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ("disabled", "Your account is disabled"),
            ("expired", "Your account has expired"),
            ("password to be changed", "Your password has to be changed first"),
            ("password expired", "Your password has expired"),
            ("at another time", "Your account is not admitted at this time, or not here"),
        ],
    )
    def test_what_is_wrong_is_said_in_words(
        self,
        controller: Controller,
        served: RunningProvider,
        person: Person,
        state: str,
        words: str,
    ) -> None:
        controller.add(person)
        STATES[state][0](controller, person)
        page = Browser.at(served).sign_in(person.mail, PASSWORD)
        assert (page.status, words in page.text) == (403, True)

    def test_a_browser_of_theirs_is_told_that_they_are_locked_and_a_stranger_is_not(
        self, controller: Controller, served: RunningProvider, backend: LdapBackend, person: Person
    ) -> None:
        controller.add(person)
        theirs, strangers = Browser.at(served), Browser.at(served)
        theirs.sign_in(person.mail, PASSWORD)
        theirs.put_cookie("__Host-browserid-session", "signed out")
        for _ in range(LOCKED_AFTER):
            assert denial(backend, person.mail, WRONG) is Denial.WRONG_PASSWORD
        told = "Your account is locked for now"
        assert told in theirs.sign_in(person.mail, PASSWORD).text
        assert told not in strangers.sign_in(person.mail, PASSWORD).text


class TestWhatTheyHave:
    @pytest.fixture
    def machine(self, controller: Controller, served: RunningProvider, person: Person) -> Machine:
        controller.add(person)
        Browser.at(served).sign_in(person.mail, PASSWORD)
        return Machine(served, person.mail)

    def test_it_goes_on_wherever_the_entry_is_and_whatever_it_is_called(
        self, controller: Controller, machine: Machine, person: Person
    ) -> None:
        controller.rename(person.dn, f"CN=Renamed {person.name}", f"OU=Former,{BASE}")
        status, answer = machine.renew()
        assert status == 200, answer

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (STATES["disabled"][0], "account-disabled"),
            (STATES["expired"][0], "account-expired"),
            (lambda there, person: there.set_password(person, NEXT), "password-changed"),
            (lambda there, person: there.set(person.dn, "pwdLastSet", "0"), "password-changed"),
            (lambda there, person: there.set(person.dn, "mail", "x@example.test"), "gone"),
            (lambda there, person: there.take_from_group(STAFF, person.dn), "not-admitted"),
            (lambda there, person: there.remove(person.dn), "gone"),
        ],
    )
    def test_it_ends_with_what_has_changed(
        self,
        controller: Controller,
        served: RunningProvider,
        machine: Machine,
        person: Person,
        change: Callable[[Controller, Person], None],
        reason: str,
    ) -> None:
        change(controller, person)
        status, answer = machine.renew()
        assert (status, answer["error"]) == (401, "no-longer-vouched")
        assert machine.renew()[1]["error"] == "renewal-revoked"
        [line] = events(served, "vouching-ended")
        assert (line["email"], line["reason"]) == (person.mail, reason)

    def test_their_address_does_not_go_to_who_has_it_next(
        self, controller: Controller, served: RunningProvider, machine: Machine, person: Person
    ) -> None:
        controller.remove(person.dn)
        controller.add(Person(person.name, person.mail, NEXT))
        status, answer = by_password(served, person.mail, NEXT)
        assert (status, answer["error"]) == (403, "other-person")
        assert machine.renew()[0] == 401


class TestControllers:
    @pytest.mark.parametrize("way", ["ldap", "ldaps"])
    def test_each_way_there_is_verified(
        self, controller: Controller, person: Person, tmp_path: Path, way: str
    ) -> None:
        controller.add(person)
        server, other = getattr(controller, way), tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(other)
        tried = LdapBackend("windows", access(controller, servers=(server,)), place())
        assert known(tried, person)
        with pytest.raises(UnavailableError, match="certificate"):
            LdapBackend(
                "windows", access(controller, servers=(server,), ca_file=other), place()
            ).verify(person.mail, PASSWORD)

    @pytest.mark.parametrize("name", [support.SERVICE, support.SERVICE_NAME])
    def test_the_provider_is_who_it_says_by_either_name(
        self, controller: Controller, person: Person, name: str
    ) -> None:
        controller.add(person)
        assert known(LdapBackend("windows", access(controller, bind_dn=name), place()), person)

    @pytest.mark.parametrize(
        "changed", [{"bind_dn": "", "bind_password": ""}, {"bind_password": WRONG}]
    )
    def test_it_looks_for_nobody_without_its_password(
        self, controller: Controller, person: Person, changed: dict[str, str]
    ) -> None:
        controller.add(person)
        tried = LdapBackend("windows", access(controller, **changed), place())
        with pytest.raises(UnavailableError):
            tried.verify(person.mail, PASSWORD)

    def test_nobody_is_looked_for_where_it_refers_to(
        self, controller: Controller, backend: LdapBackend, person: Person
    ) -> None:
        """A search from the top is answered with references to other parts of the forest too."""
        controller.add(person)
        assert controller.references()
        assert known(backend, person)
        assert backend.verify(f"nobody@{DOMAIN}", PASSWORD) is None

    def test_without_the_place_where_people_are_nobody_is_gone(
        self, controller: Controller, backend: LdapBackend, found_by: Make, person: Person
    ) -> None:
        """It is another thing that is wrong, and ends nothing."""
        controller.add(person)
        identity = known(backend, person)
        elsewhere = found_by(base=f"OU=Nobody,{BASE}")
        with pytest.raises(UnavailableError, match="OU=Nobody"):
            elsewhere.check(identity)
        with pytest.raises(UnavailableError, match="OU=Nobody"):
            elsewhere.verify(person.mail, PASSWORD)
        assert ["OU=Nobody" in fault for fault in elsewhere.probe()] == [True]
        assert not backend.probe()

    def test_the_next_one_is_asked_and_the_first_again_when_it_is_back(
        self, controller: Controller, person: Person, tmp_path: Path
    ) -> None:
        controller.add(person)
        with another(controller, tmp_path / "second") as second:
            authorities = tmp_path / "both.pem"
            authorities.write_text(
                "".join(each.ca_file.read_text() for each in (second, controller))
            )
            servers = (second.ldaps, controller.ldaps)
            both = LdapBackend(
                "windows", access(controller, servers=servers, ca_file=authorities), place()
            )
            with second.running():
                identity = known(both, person)
            assert both.check(identity).version == identity.version
            alone = LdapBackend(
                "windows", access(controller, servers=servers[:1], ca_file=authorities), place()
            )
            with pytest.raises(UnavailableError):
                alone.check(identity)
            with second.running():
                assert alone.check(identity) == Vouched(
                    identity.email, identity.subject, identity.version
                )


class TestTheRoll:
    """Whom `browserid-idp import-people --ldap` makes accounts for."""

    @pytest.fixture
    def unit(self, controller: Controller, person: Person) -> str:
        """An organizational unit with nobody in it."""
        ou = f"OU={person.name}s,{BASE}"
        controller.make(ou, objectClass="organizationalUnit")
        return ou

    def test_it_has_those_who_would_be_let_in(
        self, controller: Controller, found_by: Make, person: Person, unit: str
    ) -> None:
        lena, disabled, outsider = (
            Person(f"{person.name}-{name}", f"{name}.{person.mail}", ou=unit)
            for name in ("lena", "disabled", "outsider")
        )
        controller.add(lena)
        controller.add(disabled, userAccountControl=str(0x200 | support.DISABLED))
        controller.add(outsider, member=False)
        there = found_by(base=unit)
        roll = there.call_the_roll(DOMAIN)
        assert [*roll.people] == [there.verify(lena.mail, PASSWORD)]
        assert roll.left_out == {
            disabled.mail: "account-disabled",
            outsider.mail: "not-admitted",
        }
        assert roll.complete

    def test_what_is_elsewhere_is_not_all(self, backend: LdapBackend) -> None:
        assert not backend.call_the_roll(DOMAIN).complete

    def test_of_several_addresses_it_has_the_first(
        self, controller: Controller, found_by: Make, person: Person, unit: str
    ) -> None:
        lena = Person(person.name, person.mail, ou=unit)
        addresses = [f"smtp:a.{lena.mail}", f"SMTP:{lena.mail}", "SMTP:x@elsewhere.test"]
        controller.add(lena, proxyAddresses=[*addresses, "X500:/o=Exchange/cn=lena"])
        by_proxy = found_by(
            base=unit,
            filter="(proxyAddresses=smtp:{address})",
            address_attribute="proxyAddresses",
        )
        roll = by_proxy.call_the_roll(DOMAIN)
        assert [each.email for each in roll.people] == [lena.mail]
        assert roll.further == {f"a.{lena.mail}"}
        # One that gets mail by nothing but an address of another domain first has this one.
        further = (*addresses[::2], "X500:/o=Exchange/cn=lena")
        controller.set(lena.dn, "proxyAddresses", *further)
        assert [each.email for each in by_proxy.call_the_roll(DOMAIN).people] == [f"a.{lena.mail}"]

    def test_there_are_more_than_are_given_at_once(
        self, controller: Controller, found_by: Make, person: Person
    ) -> None:
        """Active Directory gives a thousand, and the provider asks for 500."""
        name = f"{person.name}-many"
        controller.make_crowd(name, 1_001, f"CN={name},{GROUPS}")
        many = found_by(
            base=f"OU={name},{BASE}", filter="(cn={user})", address_attribute="cn", groups=()
        )
        assert len(many.call_the_roll(DOMAIN).people) == 1_001
