"""The one table from errors to the results of SASL, held against libsasl2's own words."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
from pathlib import Path

import pytest

from browserid_sasl.cli.sample.console import sasl_text
from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    ConfigurationError,
    CredentialError,
    DiscoveryError,
    LocalProtocolError,
    PeerRefusedError,
    RemoteProtocolError,
    StoreError,
)
from browserid_sasl.sasl.results import LogLevel, Sasl, explain, level_of, sasl_result

HEADER = Path("/usr/include/sasl/sasl.h")
FAMILIES = (
    *(LocalProtocolError, RemoteProtocolError, PeerRefusedError, CredentialError),
    *(DiscoveryError, StoreError),
)
EVERY_ERROR = [
    ConfigurationError("x"),
    ConfigurationError("x", code=Code.NO_LOCAL_MAPPING),
    *(family(code, "x") for family in FAMILIES for code in Code),
]


def test_numbers_are_those_of_sasl_h() -> None:
    defined = re.findall(r"^#define SASL_([A-Z]+) +\(?(-?\d+)\)?", HEADER.read_text(), re.M)
    numbers = {name: int(number) for name, number in defined}
    assert {each.name: int(each) for each in Sasl} == {
        each.name: numbers[each.name] for each in Sasl
    }


def test_texts_are_those_of_libsasl2() -> None:
    library = ctypes.CDLL("libsasl2.so.2")
    library.sasl_errstring.restype = ctypes.c_char_p
    said = {each: library.sasl_errstring(each, None, None).decode() for each in Sasl}
    assert said == {each: each.text for each in Sasl}


@pytest.mark.parametrize(
    ("error", "on_a_server", "on_a_client"),
    [
        (RemoteProtocolError(Code.REPLAYED_ASSERTION, "x"), Sasl.BADAUTH, Sasl.BADAUTH),
        (RemoteProtocolError(Code.INVALID_SIGNATURE, "x"), Sasl.BADAUTH, Sasl.BADSERV),
        (RemoteProtocolError(Code.MISMATCHED_RP_RESPONSE, "x"), Sasl.BADAUTH, Sasl.BADSERV),
        (RemoteProtocolError(Code.UNTRUSTED_X509_CERT, "x"), Sasl.BADSERV, Sasl.BADSERV),
        (RemoteProtocolError(Code.UNTRUSTED_ISSUER, "x"), Sasl.BADAUTH, Sasl.BADAUTH),
        (RemoteProtocolError(Code.EXPIRED_CERT, "x"), Sasl.EXPIRED, Sasl.EXPIRED),
        (RemoteProtocolError(Code.INVALID_JSON, "x"), Sasl.BADPROT, Sasl.BADPROT),
        (RemoteProtocolError(Code.NO_LOCAL_MAPPING, "x"), Sasl.NOAUTHZ, Sasl.NOAUTHZ),
        (RemoteProtocolError(Code.WRONG_MECH, "x"), Sasl.NOMECH, Sasl.NOMECH),
        (PeerRefusedError(Code.INVALID_SIGNATURE, "x"), Sasl.BADAUTH, Sasl.BADAUTH),
        (PeerRefusedError(Code.HTTP_ERROR, "x"), Sasl.UNAVAIL, Sasl.UNAVAIL),
        (LocalProtocolError(Code.WRONG_MECH, "x"), Sasl.NOMECH, Sasl.NOMECH),
        (LocalProtocolError(Code.INVALID_PARAMETER, "x"), Sasl.BADPARAM, Sasl.BADPARAM),
        (
            LocalProtocolError(Code.MISSING_CHANNEL_BINDINGS, "x"),
            Sasl.BADBINDING,
            Sasl.BADBINDING,
        ),
        (ConfigurationError("x"), Sasl.CONFIGERR, Sasl.CONFIGERR),
        (ConfigurationError("x", code=Code.NO_LOCAL_MAPPING), Sasl.NOAUTHZ, Sasl.NOAUTHZ),
        (StoreError(Code.CACHE_ERROR, "x"), Sasl.UNAVAIL, Sasl.UNAVAIL),
        (DiscoveryError(Code.INVALID_JSON, "x"), Sasl.UNAVAIL, Sasl.UNAVAIL),
        (CredentialError(Code.NO_DEFAULT_CRED, "x"), Sasl.INTERACT, Sasl.INTERACT),
    ],
)
def test_an_error_has_one_result(
    error: BrowserIDError, on_a_server: Sasl, on_a_client: Sasl
) -> None:
    assert sasl_result(error, is_client=False) is on_a_server
    assert sasl_result(error, is_client=True) is on_a_client


def test_every_door_says_the_same() -> None:
    for error in EVERY_ERROR:
        for is_client in (False, True):
            result = sasl_result(error, is_client=is_client)
            assert sasl_text(error, is_client=is_client) == result.text
            assert result < 0 or result is Sasl.INTERACT


def test_a_mechanism_returns_nothing_that_means_something_else_to_libsasl2() -> None:
    for error in EVERY_ERROR:
        for is_client in (False, True):
            returned = sasl_result(error, is_client=is_client).of_mechanism
            assert returned < 0
            assert returned not in (Sasl.INTERACT, Sasl.CONFIGERR, Sasl.NOMECH)


def test_what_somebody_has_to_see_to_is_logged_as_an_error() -> None:
    for error in EVERY_ERROR:
        of_stranger = isinstance(error, RemoteProtocolError | PeerRefusedError)
        assert (level_of(error, is_client=False) is LogLevel.FAIL) == of_stranger
        assert level_of(error, is_client=True) is LogLevel.ERR


class _FinerError(CredentialError):
    """A kind of error that only some part knows."""


def test_what_a_service_says_of_an_error_is_the_tables_result_and_its_own_words() -> None:
    for error in EVERY_ERROR:
        for is_client in (False, True):
            said = explain(error, is_client=is_client)
            assert said.result is sasl_result(error, is_client=is_client)
            assert said.level is level_of(error, is_client=is_client)
            assert (said.code, said.reason, said.detail) == (error.code, error.message, str(error))


def test_a_finer_kind_of_error_goes_by_the_name_that_programs_know() -> None:
    error = _FinerError(Code.NO_DEFAULT_CRED, "nobody is signed in", "sign in")
    said = explain(error, is_client=True)
    assert (said.family, said.remedy) == (CredentialError.__name__, "sign in")


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (MemoryError(), Sasl.NOMEM),
        (OSError(28, "No space left on device"), Sasl.UNAVAIL),
        (ImportError("no module"), Sasl.UNAVAIL),
        (ValueError("alice's secret"), Sasl.FAIL),
    ],
)
def test_what_is_no_error_of_ours_is_nobodys_refusal_and_keeps_its_words(
    error: Exception, result: Sasl
) -> None:
    for is_client in (False, True):
        said = explain(error, is_client=is_client)
        assert (said.code, said.result) == (Code.UNAVAILABLE, result)
        assert said.level is LogLevel.ERR
        assert "secret" not in said.detail + said.reason
