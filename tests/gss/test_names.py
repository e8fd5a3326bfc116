"""Names of services and people, in text and exported."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserid_sasl.config import syntax
from browserid_sasl.config.syntax import Unfit
from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.exported_names import export_name, import_exported_name
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism, mechanism_by_name
from browserid_sasl.gss.names import (
    Name,
    NameType,
    ServiceName,
    UserName,
    display_name,
    import_name,
)
from tests.support.world import ALICE, IMAP

AES128 = mechanism_by_name("BROWSERID-AES128")
ALICE_NAME = UserName(ALICE)
ALICE_EXPORTED = bytes.fromhex("0401000c060a2b06010401a94a180111") + b"\0\0\0\x0ealice@idp.test"

LETTERS = "abcXYZ019"
hosts = st.text(LETTERS, min_size=1).map(lambda label: f"{label}.test")
services = st.text(f"{LETTERS}_.-", max_size=9).map(lambda text: f"x{text}")
specifics = st.text([chr(code) for code in range(0x21, 0x7F)], max_size=20)
addresses = st.builds(
    "{}@{}".format,
    st.text("abcXYZ/\\.+=,~äß漢", min_size=1, max_size=20),
    st.text("abcXYZ", min_size=1, max_size=20).map(lambda label: f"{label}.test"),
)
names: st.SearchStrategy[Name] = st.one_of(
    st.builds(ServiceName.make, services, hosts, specifics), st.builds(UserName.make, addresses)
)


class TestServiceName:
    @pytest.mark.parametrize("text", ["imap/mail.example.com", "host/vm", "a/b/c/d", "x/::1"])
    def test_is_written_as_it_was_read(self, text: str) -> None:
        assert str(ServiceName.parse(text)) == text

    def test_the_host_is_in_lower_case_and_has_no_dot_at_its_end(self) -> None:
        assert ServiceName.parse("imap/Mail.Example.COM.") == IMAP
        assert ServiceName.make("imap", "Mail.Example.COM.") == IMAP

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "imap",
            "imap/",
            "/host",
            "imap/a/",
            "im ap/a",
            "imap/a b",
            "imap/.",
            "imap/a/\n",
            "imap/" + 600 * "a",
            64 * "a" + "/host",
            "imap/host\n",
            "imap\n/host",
            "\u0131map/host",
            "imap/\u212aelvin.test",
            "urn:x-gss:imap/host",
        ],
    )
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            ServiceName.parse(text)
        assert caught.value.code is Code.BAD_SERVICE_NAME

    @given(services, hosts, specifics)
    def test_the_configuration_takes_what_it_is_written_as(
        self, service: str, host: str, specific: str
    ) -> None:
        text = str(ServiceName.make(service, host, specific))
        assert syntax.service_principal(text) == text

    @given(st.text("aZ9./-_@: \n", max_size=12))
    def test_the_configuration_takes_no_other(self, text: str) -> None:
        try:
            taken = syntax.service_principal(text)
        except Unfit:
            return
        assert taken == str(ServiceName.parse(text))

    def test_a_host_name_stands_for_its_services_only_where_that_is_permitted(self) -> None:
        claimed = ServiceName("host", IMAP.host)
        assert not IMAP.answers_to(claimed)
        assert IMAP.answers_to(claimed, host_alias=True)
        assert not IMAP.answers_to(ServiceName("smtp", IMAP.host), host_alias=True)


class TestText:
    @pytest.mark.parametrize(
        ("text", "name_type", "name"),
        [
            ("imap@mail.example.com", NameType.HOSTBASED_SERVICE, IMAP),
            ("imap@MAIL.example.com", NameType.HOSTBASED_SERVICE, IMAP),
            (r"im\ap@mail.example.com", NameType.HOSTBASED_SERVICE, IMAP),
            ("imap/mail.example.com", NameType.EMAIL_OR_SPN, IMAP),
            (r"imap/vm/a\/b", NameType.EMAIL_OR_SPN, ServiceName("imap", "vm", "a/b")),
            (ALICE, NameType.USER_NAME, ALICE_NAME),
            ("alice@IDP.test", NameType.USER_NAME, ALICE_NAME),
            (ALICE, NameType.EMAIL_OR_SPN, ALICE_NAME),
            ("a/b@idp.test", NameType.USER_NAME, UserName("a/b@idp.test")),
            (r"a\/b@idp.test", NameType.EMAIL_OR_SPN, UserName("a/b@idp.test")),
            (r"a\\b@idp.test", NameType.EMAIL_OR_SPN, UserName(r"a\b@idp.test")),
        ],
    )
    def test_is_read(self, text: str, name_type: NameType, name: Name) -> None:
        assert import_name(text, name_type) == name

    def test_a_service_without_host_is_one_of_this_host(self) -> None:
        name = import_name("imap", NameType.HOSTBASED_SERVICE, local_host="mail.example.com")
        assert name == IMAP

    @pytest.mark.parametrize(
        ("text", "name_type", "code"),
        [
            ("imap", NameType.HOSTBASED_SERVICE, Code.NO_HOSTNAME),
            ("imap@", NameType.HOSTBASED_SERVICE, Code.BAD_SERVICE_NAME),
            ("@host", NameType.HOSTBASED_SERVICE, Code.BAD_SERVICE_NAME),
            ("imap@a@b", NameType.HOSTBASED_SERVICE, Code.BAD_SERVICE_NAME),
            (r"imap\@host", NameType.HOSTBASED_SERVICE, Code.NO_HOSTNAME),
            (r"im\/ap@host", NameType.HOSTBASED_SERVICE, Code.BAD_SERVICE_NAME),
            ("imap@host\\", NameType.HOSTBASED_SERVICE, Code.BAD_NAME_TOKEN),
            ("imap/a/b/c", NameType.EMAIL_OR_SPN, Code.BAD_SERVICE_NAME),
            ("imap/", NameType.EMAIL_OR_SPN, Code.BAD_SERVICE_NAME),
            ("alice", NameType.USER_NAME, Code.BAD_INITIATOR_NAME),
            ("", NameType.EMAIL_OR_SPN, Code.BAD_INITIATOR_NAME),
            ("a@b@idp.test", NameType.USER_NAME, Code.BAD_INITIATOR_NAME),
            (r"a\@b@idp.test", NameType.USER_NAME, Code.BAD_INITIATOR_NAME),
            (r"a\0@idp.test", NameType.USER_NAME, Code.BAD_INITIATOR_NAME),
            (r"a\n@idp.test", NameType.EMAIL_OR_SPN, Code.BAD_INITIATOR_NAME),
            ("alice@10.0.0.1", NameType.USER_NAME, Code.BAD_INITIATOR_NAME),
            (600 * "a" + "@idp.test", NameType.USER_NAME, Code.BAD_NAME_TOKEN),
        ],
    )
    def test_is_refused(self, text: str, name_type: NameType, code: Code) -> None:
        with pytest.raises(LocalProtocolError) as caught:
            import_name(text, name_type)
        assert caught.value.code is code

    @given(names)
    def test_is_read_again_as_the_same_name(self, name: Name) -> None:
        assert import_name(display_name(name), NameType.EMAIL_OR_SPN) == name

    @given(services, hosts)
    def test_both_forms_of_a_service_name_are_the_same_name(self, service: str, host: str) -> None:
        hostbased = import_name(f"{service}@{host}", NameType.HOSTBASED_SERVICE)
        assert hostbased == import_name(f"{service}/{host}", NameType.EMAIL_OR_SPN)

    def test_the_local_part_s_case_matters(self) -> None:
        assert UserName.make("Alice@idp.test") != ALICE_NAME

    def test_a_name_s_string_is_the_address(self) -> None:
        assert str(ALICE_NAME) == ALICE


class TestExportedNames:
    def test_an_example(self) -> None:
        assert export_name(ALICE_NAME, AES128) == ALICE_EXPORTED
        assert import_exported_name(ALICE_EXPORTED) == (AES128, ALICE_NAME)

    @given(names, st.sampled_from(MECHANISMS))
    def test_are_read_again(self, name: Name, mechanism: Mechanism) -> None:
        assert import_exported_name(export_name(name, mechanism)) == (mechanism, name)

    @given(names, names)
    def test_are_equal_exactly_when_the_names_are(self, one: Name, other: Name) -> None:
        assert (export_name(one, AES128) == export_name(other, AES128)) == (one == other)

    @pytest.mark.parametrize(
        ("octets", "code"),
        [
            (b"", Code.BAD_NAME_TOKEN),
            (b"\x04\x02" + ALICE_EXPORTED[2:], Code.BAD_NAME_TOKEN),
            (ALICE_EXPORTED + b"\0", Code.BAD_NAME_TOKEN),
            (ALICE_EXPORTED[:-1], Code.TOKEN_TRUNCATED),
            (ALICE_EXPORTED[:18], Code.TOKEN_TRUNCATED),
            (ALICE_EXPORTED[:7], Code.TOKEN_TRUNCATED),
            (ALICE_EXPORTED[:3], Code.TOKEN_TRUNCATED),
            (ALICE_EXPORTED.replace(b"\x18\x01\x11", b"\x18\x01\x15"), Code.WRONG_MECH),
            (ALICE_EXPORTED.replace(b"\x06\x0a", b"\x04\x0a"), Code.WRONG_MECH),
            (ALICE_EXPORTED.replace(b"idp.test", b"IDP.test"), Code.BAD_NAME_TOKEN),
            (ALICE_EXPORTED.replace(b"alice", b"al\\ce"), Code.BAD_NAME_TOKEN),
            (ALICE_EXPORTED.replace(b"alice", b"al@ce"), Code.BAD_NAME_TOKEN),
            (ALICE_EXPORTED.replace(b"alice", b"al\xffce"), Code.BAD_NAME_TOKEN),
        ],
    )
    def test_are_refused(self, octets: bytes, code: Code) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            import_exported_name(octets)
        assert caught.value.code is code

    @given(st.binary(max_size=60).map(lambda tail: b"\x04\x01" + tail))
    def test_whatever_comes_gives_an_error_of_ours(self, octets: bytes) -> None:
        with pytest.raises(BrowserIDError):
            import_exported_name(octets)
