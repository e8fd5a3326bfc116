"""MIT Kerberos itself, as Debian ships it, for tests and measurements that compare with it.

Two things are called through cffi, both of them public interfaces:

* the operations of RFC 3961 in libk5crypto (`encrypt`, `decrypt`, `checksum`, `prf`);
* GSS-API contexts of libgssapi_krb5, established between two ends in this process (`establish`).

There is no KDC. A realm is a folder with a key table for one service and a credential cache with
a ticket for it, which this module makes from the formats that RFC 4120 and MIT's documentation
define (ccache file version 4, keytab file version 2).

A missing library is an error, never a reason to skip.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import Any, Final

import cffi

# What is declared below, the type checker cannot know.
_ffi: Final[Any] = cffi.FFI()
_ffi.cdef(
    """
    typedef struct { int32_t magic; unsigned int length; char *data; } krb5_data;
    typedef struct {
        int32_t magic; int32_t enctype; unsigned int length; unsigned char *contents;
    } krb5_keyblock;
    typedef struct {
        int32_t magic; int32_t enctype; unsigned int kvno; krb5_data ciphertext;
    } krb5_enc_data;
    typedef struct {
        int32_t magic; int32_t checksum_type; unsigned int length; unsigned char *contents;
    } krb5_checksum;

    int32_t krb5_c_encrypt(void *, const krb5_keyblock *, int32_t, const krb5_data *,
                           const krb5_data *, krb5_enc_data *);
    int32_t krb5_c_encrypt_length(void *, int32_t, size_t, size_t *);
    int32_t krb5_c_decrypt(void *, const krb5_keyblock *, int32_t, const krb5_data *,
                           const krb5_enc_data *, krb5_data *);
    int32_t krb5_c_make_checksum(void *, int32_t, const krb5_keyblock *, int32_t,
                                 const krb5_data *, krb5_checksum *);
    void krb5_free_checksum_contents(void *, krb5_checksum *);
    int32_t krb5_c_prf(void *, const krb5_keyblock *, krb5_data *, krb5_data *);
    int32_t krb5_c_prf_length(void *, int32_t, size_t *);

    typedef struct { size_t length; void *value; } gss_buffer_desc;
    typedef struct { uint32_t length; void *elements; } gss_OID_desc;
    typedef struct { size_t count; gss_OID_desc *elements; } gss_OID_set_desc;
    typedef struct { size_t count; gss_buffer_desc *elements; } gss_buffer_set_desc;
    typedef struct { uint32_t type; gss_buffer_desc buffer; } gss_iov_buffer_desc;
    typedef struct { const char *key; const char *value; } gss_key_value_element_desc;
    typedef struct { uint32_t count; gss_key_value_element_desc *elements; } gss_key_value_set_desc;

    uint32_t gss_import_name(uint32_t *, gss_buffer_desc *, gss_OID_desc *, void **);
    uint32_t gss_release_name(uint32_t *, void **);
    uint32_t gss_acquire_cred_from(uint32_t *, void *, uint32_t, gss_OID_set_desc *, int,
                                   const gss_key_value_set_desc *, void **, gss_OID_set_desc **,
                                   uint32_t *);
    uint32_t gss_release_cred(uint32_t *, void **);
    uint32_t gss_init_sec_context(uint32_t *, void *, void **, void *, gss_OID_desc *, uint32_t,
                                  uint32_t, void *, gss_buffer_desc *, gss_OID_desc **,
                                  gss_buffer_desc *, uint32_t *, uint32_t *);
    uint32_t gss_accept_sec_context(uint32_t *, void **, void *, gss_buffer_desc *, void *,
                                    void **, gss_OID_desc **, gss_buffer_desc *, uint32_t *,
                                    uint32_t *, void **);
    uint32_t gss_delete_sec_context(uint32_t *, void **, gss_buffer_desc *);
    uint32_t gss_inquire_sec_context_by_oid(uint32_t *, void *, gss_OID_desc *,
                                            gss_buffer_set_desc **);
    uint32_t gss_release_buffer_set(uint32_t *, gss_buffer_set_desc **);
    uint32_t gss_release_buffer(uint32_t *, gss_buffer_desc *);
    uint32_t gss_display_status(uint32_t *, uint32_t, int, gss_OID_desc *, uint32_t *,
                                gss_buffer_desc *);

    uint32_t gss_wrap(uint32_t *, void *, int, uint32_t, gss_buffer_desc *, int *,
                      gss_buffer_desc *);
    uint32_t gss_unwrap(uint32_t *, void *, gss_buffer_desc *, gss_buffer_desc *, int *,
                        uint32_t *);
    uint32_t gss_wrap_aead(uint32_t *, void *, int, uint32_t, gss_buffer_desc *,
                           gss_buffer_desc *, int *, gss_buffer_desc *);
    uint32_t gss_unwrap_aead(uint32_t *, void *, gss_buffer_desc *, gss_buffer_desc *,
                             gss_buffer_desc *, int *, uint32_t *);
    uint32_t gss_wrap_iov(uint32_t *, void *, int, uint32_t, int *, gss_iov_buffer_desc *, int);
    uint32_t gss_release_iov_buffer(uint32_t *, gss_iov_buffer_desc *, int);
    uint32_t gss_get_mic(uint32_t *, void *, uint32_t, gss_buffer_desc *, gss_buffer_desc *);
    uint32_t gss_verify_mic(uint32_t *, void *, gss_buffer_desc *, gss_buffer_desc *, uint32_t *);
    uint32_t gss_wrap_size_limit(uint32_t *, void *, int, uint32_t, uint32_t, uint32_t *);
    uint32_t gss_pseudo_random(uint32_t *, void *, int, gss_buffer_desc *, ssize_t,
                               gss_buffer_desc *);
    """
)
_crypto: Final = _ffi.dlopen("libk5crypto.so.3")
_krb5: Final = _ffi.dlopen("libkrb5.so.3")
_gss: Final = _ffi.dlopen("libgssapi_krb5.so.2")

_NULL: Final = _ffi.NULL


class MitError(Exception):
    """A function of MIT Kerberos failed.

    :param major: GSS major status, 0 for functions that have none.
    """

    def __init__(self, message: str, major: int = 0) -> None:
        super().__init__(message)
        self.major = major


# RFC 3961 operations


CHECKSUM_TYPES: Final = {17: 15, 18: 16, 19: 19, 20: 20}
"""Checksum type of each encryption type (RFC 3962, RFC 8009)."""


def encrypt(enctype: int, key: bytes, usage: int, plaintext: bytes) -> bytes:
    """``krb5_c_encrypt``."""
    size = _ffi.new("size_t *")
    _check(_crypto.krb5_c_encrypt_length(_NULL, enctype, len(plaintext), size))
    output = _ffi.new("char[]", size[0])
    sealed = _ffi.new("krb5_enc_data *")
    sealed.ciphertext.data, sealed.ciphertext.length = output, size[0]
    with _keyblock(enctype, key) as block, _data(plaintext) as data:
        _check(_crypto.krb5_c_encrypt(_NULL, block, usage, _NULL, data, sealed))
    return bytes(_ffi.buffer(output, sealed.ciphertext.length))


def decrypt(enctype: int, key: bytes, usage: int, ciphertext: bytes) -> bytes:
    """``krb5_c_decrypt``."""
    output = _ffi.new("char[]", max(1, len(ciphertext)))
    plaintext = _ffi.new("krb5_data *", {"data": output, "length": len(ciphertext)})
    sealed = _ffi.new("krb5_enc_data *", {"enctype": enctype})
    with _keyblock(enctype, key) as block, _data(ciphertext) as data:
        sealed.ciphertext = data[0]
        _check(_crypto.krb5_c_decrypt(_NULL, block, usage, _NULL, sealed, plaintext))
    return bytes(_ffi.buffer(output, plaintext.length))


def checksum(enctype: int, key: bytes, usage: int, message: bytes) -> bytes:
    """``krb5_c_make_checksum``, with the checksum type of the encryption type."""
    result = _ffi.new("krb5_checksum *")
    with _keyblock(enctype, key) as block, _data(message) as data:
        number = CHECKSUM_TYPES[enctype]
        _check(_crypto.krb5_c_make_checksum(_NULL, number, block, usage, data, result))
    octets = bytes(_ffi.buffer(result.contents, result.length))
    _krb5.krb5_free_checksum_contents(_NULL, result)
    return octets


def prf(enctype: int, key: bytes, message: bytes) -> bytes:
    """``krb5_c_prf``."""
    size = _ffi.new("size_t *")
    _check(_crypto.krb5_c_prf_length(_NULL, enctype, size))
    output = _ffi.new("char[]", size[0])
    result = _ffi.new("krb5_data *", {"data": output, "length": size[0]})
    with _keyblock(enctype, key) as block, _data(message) as data:
        _check(_crypto.krb5_c_prf(_NULL, block, data, result))
    return bytes(_ffi.buffer(output, result.length))


def _check(code: int) -> None:
    if code:
        raise MitError(f"libk5crypto says {code}")


@contextmanager
def _keyblock(enctype: int, key: bytes) -> Iterator[Any]:
    contents = _ffi.new("unsigned char[]", key)
    yield _ffi.new(
        "krb5_keyblock *", {"enctype": enctype, "length": len(key), "contents": contents}
    )


@contextmanager
def _data(octets: bytes) -> Iterator[Any]:
    with _ffi.from_buffer("char[]", octets) as data:
        yield _ffi.new("krb5_data *", {"length": len(octets), "data": data})


# Realms


_REALM: Final = b"EXAMPLE.TEST"
_CLIENT: Final = (b"alice",)
_SERVICE: Final = (b"imap", b"mail.example.test")
_NAME_TYPE: Final = 1
_KEY_VERSION: Final = 1
_TICKET_USAGE: Final = 2
_TICKET_LIFE: Final = 3600


@dataclass(frozen=True)
class Realm:
    """A folder with what both ends of a context of one encryption type need.

    :param enctype: of the service's key, the session key and both subkeys.
    :param folder: where `krb5.conf`, `ccache` and `keytab` are.
    """

    enctype: int
    folder: Path

    @classmethod
    def create(cls, enctype: int, folder: Path) -> Realm:
        """Make keys, a ticket, and the files."""
        name = {
            17: "aes128-cts-hmac-sha1-96",
            18: "aes256-cts-hmac-sha1-96",
            19: "aes128-cts-hmac-sha256-128",
            20: "aes256-cts-hmac-sha384-192",
        }[enctype]
        size = 16 if enctype in (17, 19) else 32
        service_key, session_key = os.urandom(size), os.urandom(size)
        now = int(time.time())
        (folder / "krb5.conf").write_text(
            "[libdefaults]\n"
            f"default_realm = {_REALM.decode()}\n"
            f"permitted_enctypes = {name}\n"
            "dns_lookup_kdc = false\ndns_canonicalize_hostname = false\n"
        )
        (folder / "keytab").write_bytes(_keytab(enctype, service_key, now))
        ticket = _ticket(enctype, service_key, session_key, now)
        (folder / "ccache").write_bytes(_ccache(enctype, session_key, ticket, now))
        return cls(enctype, folder)

    @contextmanager
    def _configuration(self) -> Iterator[None]:
        before = os.environ.get("KRB5_CONFIG")
        os.environ["KRB5_CONFIG"] = str(self.folder / "krb5.conf")
        try:
            yield
        finally:
            if before is None:
                del os.environ["KRB5_CONFIG"]
            else:
                os.environ["KRB5_CONFIG"] = before


def _ticket(enctype: int, service_key: bytes, session_key: bytes, now: int) -> bytes:
    """A Ticket of RFC 4120 section 5.3."""
    inner = _sequence(
        _bit_string(bytes(4)),
        _sequence(_integer(enctype), _octet_string(session_key)),
        _general_string(_REALM),
        _principal_name(_CLIENT),
        _sequence(_integer(0), _octet_string(b"")),
        _time(now),
        _time(now),
        _time(now + _TICKET_LIFE),
    )
    sealed = encrypt(enctype, service_key, _TICKET_USAGE, _der(0x63, inner))
    outer = _sequence(
        _integer(5),
        _general_string(_REALM),
        _principal_name(_SERVICE),
        _sequence(_integer(enctype), _integer(_KEY_VERSION), _octet_string(sealed)),
    )
    return _der(0x61, outer)


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _sequence(*members: bytes) -> bytes:
    """A SEQUENCE whose members are tagged [0], [1], [2] and so on."""
    return _der(0x30, b"".join(_der(0xA0 + n, member) for n, member in enumerate(members)))


def _integer(value: int) -> bytes:
    return _der(0x02, bytes([value]))


def _bit_string(octets: bytes) -> bytes:
    return _der(0x03, b"\0" + octets)


def _octet_string(octets: bytes) -> bytes:
    return _der(0x04, octets)


def _general_string(octets: bytes) -> bytes:
    return _der(0x1B, octets)


def _principal_name(components: tuple[bytes, ...]) -> bytes:
    names = b"".join(map(_general_string, components))
    return _sequence(_integer(_NAME_TYPE), _der(0x30, names))


def _time(seconds: int) -> bytes:
    return _der(0x18, time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds)).encode())


def _ccache(enctype: int, session_key: bytes, ticket: bytes, now: int) -> bytes:
    """A credential cache, file format version 4, with one credential."""
    times = struct.pack(">4I", now, now, now + _TICKET_LIFE, 0)
    no_flags_addresses_authdata = struct.pack(">B3I", 0, 0, 0, 0)
    return b"".join(
        (
            struct.pack(">2H", 0x0504, 0),
            _ccache_principal(_CLIENT),
            _ccache_principal(_CLIENT),
            _ccache_principal(_SERVICE),
            struct.pack(">H", enctype) + _counted(">I", session_key),
            times,
            no_flags_addresses_authdata,
            _counted(">I", ticket),
            _counted(">I", b""),
        )
    )


def _ccache_principal(components: tuple[bytes, ...]) -> bytes:
    names = b"".join(_counted(">I", name) for name in (_REALM, *components))
    return struct.pack(">2I", _NAME_TYPE, len(components)) + names


def _keytab(enctype: int, service_key: bytes, now: int) -> bytes:
    """A key table, file format version 2, with one entry."""
    entry = b"".join(
        (
            struct.pack(">H", len(_SERVICE)),
            *(_counted(">H", name) for name in (_REALM, *_SERVICE)),
            struct.pack(">2IBH", _NAME_TYPE, now, _KEY_VERSION, enctype),
            _counted(">H", service_key),
        )
    )
    return struct.pack(">H", 0x0502) + _counted(">I", entry)


def _counted(size_format: str, octets: bytes) -> bytes:
    return struct.pack(size_format, len(octets)) + octets


# Contexts


class Flags(IntFlag):
    """Context flags of RFC 2744, and DCE style."""

    MUTUAL = 0x2
    REPLAY = 0x4
    SEQUENCE = 0x8
    CONFIDENTIALITY = 0x10
    INTEGRITY = 0x20
    DCE_STYLE = 0x1000


PROTECTED: Final = Flags.CONFIDENTIALITY | Flags.INTEGRITY

_KERBEROS: Final = bytes.fromhex("2a864886f712010202")
_PRINCIPAL_NAME: Final = bytes.fromhex("2a864886f71201020201")
_SESSION_KEY: Final = bytes.fromhex("2a864886f7120102020505")

_INITIATE, _ACCEPT = 1, 2
_PRF_KEY_FULL: Final = 0

_HEADER_BUFFER: Final = 2 | 0x10000
_DATA_BUFFER: Final = 1

_ERROR_BITS: Final = 0xFFFF_0000


class Context:
    """One end of an established Kerberos context of MIT's GSS-API."""

    def __init__(self) -> None:
        self._handle = _ffi.new("void **")
        self._minor = _ffi.new("uint32_t *")

    def __del__(self) -> None:
        _gss.gss_delete_sec_context(self._minor, self._handle, _NULL)

    def _initiate(self, credential: Any, target: Any, flags: Flags, token: bytes) -> bytes:
        output = _ffi.new("gss_buffer_desc *")
        with _oid(_KERBEROS) as mechanism, _buffer(token) as reply:
            before = (credential, self._handle, target, mechanism, flags, 0, _NULL, reply)
            _call(_gss.gss_init_sec_context, *before, _NULL, output, _NULL, _NULL)
        return self._take(output)

    def _accept(self, credential: Any, token: bytes) -> bytes:
        output = _ffi.new("gss_buffer_desc *")
        with _buffer(token) as message:
            before = (self._handle, credential, message, _NULL, _NULL, _NULL)
            _call(_gss.gss_accept_sec_context, *before, output, _NULL, _NULL, _NULL)
        return self._take(output)

    def session_key(self) -> bytes:
        """The key under the per-message tokens: the acceptor's subkey, or the initiator's."""
        buffers = _ffi.new("gss_buffer_set_desc **")
        with _oid(_SESSION_KEY) as oid:
            self._call(_gss.gss_inquire_sec_context_by_oid, oid, buffers)
        key = _octets(buffers[0].elements[0])
        _gss.gss_release_buffer_set(self._minor, buffers)
        return key

    def wrap(self, data: bytes, confidential: bool = True) -> bytes:
        """``gss_wrap``."""
        with _buffer(data) as message:
            return self._output(_gss.gss_wrap, confidential, 0, message, _NULL)

    def unwrap(self, token: bytes) -> tuple[bytes, bool, int]:
        """``gss_unwrap``: message, whether it was sealed, supplementary status."""
        sealed = _ffi.new("int *")
        output = _ffi.new("gss_buffer_desc *")
        with _buffer(token) as message:
            status = self._call(_gss.gss_unwrap, message, output, sealed, _NULL)
        return self._take(output), bool(sealed[0]), status

    def wrap_aead(self, data: bytes, associated: bytes, confidential: bool = True) -> bytes:
        """``gss_wrap_aead``."""
        with _buffer(data) as message, _buffer(associated) as also:
            return self._output(_gss.gss_wrap_aead, confidential, 0, also, message, _NULL)

    def unwrap_aead(self, token: bytes, associated: bytes) -> tuple[bytes, bool, int]:
        """``gss_unwrap_aead``, with the results of `unwrap`."""
        sealed = _ffi.new("int *")
        output = _ffi.new("gss_buffer_desc *")
        with _buffer(token) as message, _buffer(associated) as also:
            status = self._call(_gss.gss_unwrap_aead, message, also, output, sealed, _NULL)
        return self._take(output), bool(sealed[0]), status

    def wrap_rotated(self, data: bytes, confidential: bool = True) -> bytes:
        """``gss_wrap_iov`` without a trailer buffer, which makes a token with RRC set."""
        buffers = _ffi.new("gss_iov_buffer_desc[2]")
        with _ffi.from_buffer("char[]", bytearray(data)) as memory:
            buffers[0].type = _HEADER_BUFFER
            buffers[1].type = _DATA_BUFFER
            buffers[1].buffer = {"length": len(data), "value": memory}
            self._call(_gss.gss_wrap_iov, confidential, 0, _NULL, buffers, 2)
            token = b"".join(_octets(iov.buffer) for iov in buffers)
        _gss.gss_release_iov_buffer(self._minor, buffers, 2)
        return token

    def wrapper(self, data: bytes) -> Callable[[], None]:
        """``gss_wrap``, ready to be called again and again, for measuring it alone."""
        return self._bare_call(
            _gss.gss_wrap, data, lambda message, output: (1, 0, message, _NULL, output)
        )

    def unwrapper(self, token: bytes) -> Callable[[], None]:
        """``gss_unwrap``, likewise. The context must not detect replays."""
        return self._bare_call(
            _gss.gss_unwrap, token, lambda message, output: (message, output, _NULL, _NULL)
        )

    def get_mic(self, data: bytes) -> bytes:
        """``gss_get_mic``."""
        with _buffer(data) as message:
            return self._output(_gss.gss_get_mic, 0, message)

    def verify_mic(self, data: bytes, token: bytes) -> int:
        """``gss_verify_mic``: supplementary status."""
        with _buffer(data) as message, _buffer(token) as mic:
            return self._call(_gss.gss_verify_mic, message, mic, _NULL)

    def wrap_size_limit(self, max_output: int, confidential: bool = True) -> int:
        """``gss_wrap_size_limit``."""
        size = _ffi.new("uint32_t *")
        self._call(_gss.gss_wrap_size_limit, confidential, 0, max_output, size)
        return int(size[0])

    def pseudo_random(self, data: bytes, size: int) -> bytes:
        """``gss_pseudo_random`` with the full key."""
        with _buffer(data) as message:
            return self._output(_gss.gss_pseudo_random, _PRF_KEY_FULL, message, size)

    def _bare_call(
        self, function: Any, octets: bytes, arrange: Callable[[Any, Any], tuple[Any, ...]]
    ) -> Callable[[], None]:
        handle, minor, release = self._handle[0], self._minor, _gss.gss_release_buffer
        memory = _ffi.from_buffer("char[]", octets)
        message = _ffi.new("gss_buffer_desc *", {"length": len(octets), "value": memory})
        output = _ffi.new("gss_buffer_desc *")
        arguments = arrange(message, output)

        def call() -> None:
            # The message points into this, which nothing else keeps.
            assert memory
            assert function(minor, handle, *arguments) == 0
            release(minor, output)

        return call

    def _output(self, function: Any, *arguments: Any) -> bytes:
        output = _ffi.new("gss_buffer_desc *")
        self._call(function, *arguments, output)
        return self._take(output)

    def _take(self, output: Any) -> bytes:
        octets = _octets(output)
        _gss.gss_release_buffer(self._minor, output)
        return octets

    def _call(self, function: Any, *arguments: Any) -> int:
        return _call(function, self._handle[0], *arguments)


def establish(realm: Realm, flags: Flags) -> tuple[Context, Context]:
    """A context between two ends in this process: the initiator's and the acceptor's end.

    The acceptor brings a subkey of its own when `flags` ask for mutual authentication. Both ends
    begin their sequence numbers where the initiator says, which is at random; the acceptor
    elsewhere if it brings a subkey.
    """
    initiator, acceptor = Context(), Context()
    with (
        realm._configuration(),
        _name(b"%b/%b@%b" % (*_SERVICE, _REALM)) as target,
        _credential(_INITIATE, ccache=f"FILE:{realm.folder / 'ccache'}") as client,
        _credential(_ACCEPT, keytab=f"FILE:{realm.folder / 'keytab'}", rcache="none:") as server,
    ):
        token = b""
        while token := initiator._initiate(client, target, flags, token):
            token = acceptor._accept(server, token)
            if not token:
                break
    return initiator, acceptor


def _call(function: Any, *arguments: Any) -> int:
    """Call a GSS function and return its supplementary status; raise if it fails."""
    minor = _ffi.new("uint32_t *")
    major = int(function(minor, *arguments))
    if major & _ERROR_BITS:
        raise MitError(f"{_explain(major, 1)} ({_explain(minor[0], 2)})", major & _ERROR_BITS)
    return major


def _explain(status: int, kind: int) -> str:
    more, output = _ffi.new("uint32_t *"), _ffi.new("gss_buffer_desc *")
    minor = _ffi.new("uint32_t *")
    with _oid(_KERBEROS) as mechanism:
        _gss.gss_display_status(minor, status, kind, mechanism, more, output)
    text = _octets(output).decode(errors="replace")
    _gss.gss_release_buffer(minor, output)
    return text


def _octets(buffer: Any) -> bytes:
    return bytes(_ffi.buffer(buffer.value, buffer.length)) if buffer.length else b""


@contextmanager
def _buffer(octets: bytes) -> Iterator[Any]:
    with _ffi.from_buffer("char[]", octets) as memory:
        yield _ffi.new("gss_buffer_desc *", {"length": len(octets), "value": memory})


@contextmanager
def _oid(octets: bytes) -> Iterator[Any]:
    with _ffi.from_buffer("char[]", octets) as memory:
        yield _ffi.new("gss_OID_desc *", {"length": len(octets), "elements": memory})


@contextmanager
def _name(principal: bytes) -> Iterator[Any]:
    handle = _ffi.new("void **")
    with _buffer(principal) as text, _oid(_PRINCIPAL_NAME) as kind:
        _call(_gss.gss_import_name, text, kind, handle)
    try:
        yield handle[0]
    finally:
        _call(_gss.gss_release_name, handle)


@contextmanager
def _credential(usage: int, **store: str) -> Iterator[Any]:
    """A credential from the places that a credential store names."""
    handle = _ffi.new("void **")
    texts = [_ffi.new("char[]", text.encode()) for item in store.items() for text in item]
    elements = _ffi.new(
        "gss_key_value_element_desc[]", list(zip(texts[::2], texts[1::2], strict=True))
    )
    places = _ffi.new("gss_key_value_set_desc *", {"count": len(store), "elements": elements})
    with _oid(_KERBEROS) as mechanism:
        mechanisms = _ffi.new("gss_OID_set_desc *", {"count": 1, "elements": mechanism})
        no_result = (_NULL, _NULL)
        _call(_gss.gss_acquire_cred_from, _NULL, 0, mechanisms, usage, places, handle, *no_result)
    try:
        yield handle[0]
    finally:
        _call(_gss.gss_release_cred, handle)
