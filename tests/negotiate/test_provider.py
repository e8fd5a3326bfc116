"""Contexts with pyspnego's interface, used as its programs use its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from spnego import ContextProxy, ContextReq
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import (
    BadBindingsError,
    BadMICError,
    BadNameError,
    NoContextError,
    SpnegoError,
    UnsupportedQop,
)
from spnego.iov import BufferType, IOVBuffer

from browserid_sasl.errors import BrowserIDError, Code
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.negotiate import provider
from tests.support.negotiate import HOST, Web
from tests.support.sample_programs import ALICE, DOMAIN, Realm

MESSAGE = b"a message of more octets than a block has"
IOV = IOVBuffer | tuple[BufferType | int, bool | bytes | int] | BufferType | int | bytes
WITH_KEY = ["BROWSERID-AES128", "BROWSERID-AES256", "BROWSERID-A128S2", "BROWSERID-A256S2"]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A server and a person."""
    with ExitStack() as stack:
        yield Web(Realm(tmp_path, PrivateKey.generate("ES256")), tmp_path, stack)


def ends(
    web: Web, mechanism: str = "", asked: ContextReq = ContextReq.none
) -> tuple[ContextProxy, ContextProxy]:
    client = web.client(HOST)
    ours = provider.client(HOST, "http", mechanism=mechanism, client=client, context_req=asked)
    server = web.server(mechanisms=" ".join(WITH_KEY))
    return ours, provider.server(HOST, "http", server=server)


def run(ours: ContextProxy, theirs: ContextProxy) -> None:
    """As programs of pyspnego do it."""
    token = ours.step()
    while not (ours.complete and theirs.complete):
        token = theirs.step(token) if not theirs.complete else None
        if token:
            token = ours.step(token)


class TestContexts:
    @pytest.mark.parametrize("mechanism", WITH_KEY)
    def test_both_sides(self, web: Web, mechanism: str) -> None:
        ours, theirs = ends(web, mechanism)
        assert (ours.negotiated_protocol, theirs.client_principal) == (None, None)
        run(ours, theirs)
        assert ours.negotiated_protocol == theirs.negotiated_protocol == mechanism
        assert (ours.client_principal, theirs.client_principal) == (None, ALICE)
        assert ours.session_key == theirs.session_key
        assert ours.spn == f"http/{HOST}"
        assert theirs.get_extra_info("context").issuer == DOMAIN
        assert theirs.get_extra_info("sslcontext") is None

    def test_flags(self, web: Web) -> None:
        ours, theirs = ends(web, asked=ContextReq.dce_style | ContextReq.identify)
        run(ours, theirs)
        expected = ContextReq.confidentiality | ContextReq.integrity | ContextReq.replay_detect
        assert ours.context_attr == expected | ContextReq.sequence_detect
        assert theirs.context_attr == ours.context_attr | ContextReq.dce_style | ContextReq.identify

    def test_the_same_once_more(self, web: Web) -> None:
        ours, theirs = ends(web)
        run(ours, theirs)
        first = ours.session_key
        ours, theirs = ours.new_context(), theirs.new_context()
        assert not ours.complete
        run(ours, theirs)
        assert ours.session_key == theirs.session_key != first

    def test_channel_bindings(self, web: Web) -> None:
        bound = GssChannelBindings(application_data=b"tls-unique:one")
        ours, theirs = ends(web)
        theirs.step(ours.step(channel_bindings=bound), channel_bindings=bound)
        assert theirs.complete
        ours, theirs = ends(web)
        other = GssChannelBindings(application_data=b"tls-unique:two")
        told = theirs.step(ours.step(channel_bindings=bound), channel_bindings=other)
        assert not theirs.complete
        for refused, token in ((ours, told), (theirs, b"")):
            with pytest.raises(BadBindingsError) as raised:
                refused.step(token)
            assert isinstance(raised.value.base_error, BrowserIDError)
            assert raised.value.base_error.code is Code.CHANNEL_BINDINGS_MISMATCH
            assert "somebody may be " in str(raised.value)

    def test_a_token_that_is_none(self, web: Web) -> None:
        _, theirs = ends(web)
        with pytest.raises(SpnegoError):
            theirs.step(b"a token")
        assert not theirs.complete

    def test_a_name_that_is_none(self) -> None:
        with pytest.raises(BadNameError):
            provider.client("a host", "http")


class TestMessages:
    @pytest.fixture(params=WITH_KEY)
    def pair(self, web: Web, request: pytest.FixtureRequest) -> tuple[ContextProxy, ContextProxy]:
        ours, theirs = ends(web, request.param)
        run(ours, theirs)
        return ours, theirs

    @pytest.mark.parametrize("encrypt", [True, False])
    def test_whole(self, pair: tuple[ContextProxy, ContextProxy], encrypt: bool) -> None:
        for one, other in (pair, pair[::-1]):
            opened = other.unwrap(one.wrap(MESSAGE, encrypt).data)
            assert (opened.data, opened.encrypted, opened.qop) == (MESSAGE, encrypt, 0)

    def test_signed(self, pair: tuple[ContextProxy, ContextProxy]) -> None:
        ours, theirs = pair
        assert theirs.verify(MESSAGE, ours.sign(MESSAGE)) == 0
        with pytest.raises(BadMICError):
            theirs.verify(MESSAGE, ours.sign(b"another"))

    @pytest.mark.parametrize("encrypt", [True, False])
    @pytest.mark.parametrize("trailer", [True, False])
    def test_in_pieces(
        self, pair: tuple[ContextProxy, ContextProxy], encrypt: bool, trailer: bool
    ) -> None:
        ours, theirs = pair
        signed = (BufferType.sign_only, b"signed")
        behind = [BufferType.trailer] if trailer else []
        wrapped = ours.wrap_iov(
            [BufferType.header, signed, b"first", b"second", BufferType.padding, *behind], encrypt
        )
        assert wrapped.encrypted == encrypt
        assert [len(each.data or b"") for each in wrapped.buffers[2:4]] == [5, 6]
        assert (wrapped.buffers[2].data == b"first") is not encrypt
        opened = theirs.unwrap_iov(wrapped.buffers)
        assert [each.data for each in opened.buffers[1:4]] == [b"signed", b"first", b"second"]
        assert opened.encrypted == encrypt

    def test_what_is_signed_only_is_signed(self, pair: tuple[ContextProxy, ContextProxy]) -> None:
        ours, theirs = pair
        header, _, data = ours.wrap_iov(
            [BufferType.header, (BufferType.sign_only, b"signed"), b"data"]
        ).buffers
        with pytest.raises(BadMICError):
            theirs.unwrap_iov([header, (BufferType.sign_only, b"Signed"), data])

    def test_a_stream(self, pair: tuple[ContextProxy, ContextProxy]) -> None:
        ours, theirs = pair
        token = ours.wrap(MESSAGE).data
        _, data = theirs.unwrap_iov([(BufferType.stream, token), BufferType.data]).buffers
        assert data.data == MESSAGE

    def test_winrm(self, pair: tuple[ContextProxy, ContextProxy]) -> None:
        ours, theirs = pair
        wrapped = ours.wrap_winrm(MESSAGE)
        assert len(wrapped.header) == ours.query_message_sizes().header
        assert theirs.unwrap_winrm(wrapped.header, wrapped.data) == MESSAGE

    def test_what_cannot_be_protected(self, pair: tuple[ContextProxy, ContextProxy]) -> None:
        ours, _ = pair
        given: list[list[IOV]] = [
            [b"data"],
            [BufferType.header, BufferType.header, b"data"],
            [BufferType.header, b"data", (BufferType.sign_only, b"behind")],
            [BufferType.header, BufferType.stream],
        ]
        for buffers in given:
            with pytest.raises(SpnegoError, match="the buffers cannot be used"):
                ours.wrap_iov(buffers)
        with pytest.raises(SpnegoError, match="a stream"):
            ours.unwrap_iov([BufferType.stream])
        with pytest.raises(UnsupportedQop):
            ours.wrap(b"data", qop=1)

    def test_before_there_is_a_context(self, web: Web) -> None:
        ours, _ = ends(web)
        for call in (lambda: ours.wrap(b""), lambda: ours.session_key, ours.query_message_sizes):
            with pytest.raises(NoContextError):
                call()
