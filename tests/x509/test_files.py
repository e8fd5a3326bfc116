"""Trust anchors and the server's key, as files of the machine."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.x509 import load_der_x509_certificate

from browserid_sasl.errors import Code, ConfigurationError
from browserid_sasl.x509 import files as x509_files
from browserid_sasl.x509.files import load_anchors, load_believed, load_server_credential
from browserid_sasl.x509.trust import X509Trust
from tests.support.certificates import Issued, authority, issue, names, oddly_named
from tests.support.dsa_group import dsa_key
from tests.support.forks import in_child
from tests.support.ownership import pretend_account, pretend_status
from tests.support.world import IMAP, START

ROOT = authority("root")
MIDDLE = authority("middle", ROOT)
SERVER = issue("server", MIDDLE, names([IMAP.host]))
NOBODY = 65534


class Files:
    """Makes files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, content: bytes, mode: int = 0o644) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(mode)
        return path

    def certificates(self, *chain: Issued) -> Path:
        return self("server.crt", b"".join(each.pem for each in chain))

    def key(self, content: bytes = SERVER.key_pem, mode: int = 0o600) -> Path:
        return self("server.key", content, mode)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def refuse(function: Any, *arguments: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        function(*arguments)
    assert caught.value.remedy
    assert str(caught.value).startswith(f"{caught.value.file}: ")
    return caught.value


class TestAnchors:
    def test_a_file_of_several(self, files: Files) -> None:
        path = files("ca.pem", b"# ours\n" + ROOT.pem + MIDDLE.pem + ROOT.pem)
        assert load_anchors(path) == (ROOT.certificate, MIDDLE.certificate)

    def test_a_folder_with_other_things_in_it(self, files: Files) -> None:
        files("root.pem", ROOT.pem)
        files("middle.crt", MIDDLE.pem)
        files("README", b"put authorities here")
        (files.folder / "more").mkdir()
        (files.folder / "dangling").symlink_to("nowhere")
        assert set(load_anchors(files.folder)) == {ROOT.certificate, MIDDLE.certificate}

    @pytest.mark.parametrize(
        "content",
        [b"", b"hello", ROOT.pem[:200], ROOT.der],
        ids=["empty", "other text", "cut off", "DER"],
    )
    def test_a_file_that_is_none(self, files: Files, content: bytes) -> None:
        error = refuse(load_anchors, files("ca.pem", content))
        assert error.code is Code.CERT_FILE_UNREADABLE

    def test_a_broken_file_in_a_folder_is_named(self, files: Files) -> None:
        files("good.pem", ROOT.pem)
        broken = files("wrong.pem", ROOT.pem[:200])
        assert refuse(load_anchors, files.folder).file == str(broken)

    def test_an_empty_folder(self, files: Files) -> None:
        assert "no certificate" in refuse(load_anchors, files.folder).message

    def test_a_file_that_is_not_there(self, files: Files) -> None:
        assert "No such file" in refuse(load_anchors, files.folder / "absent.pem").message

    def test_a_folder_that_cannot_be_listed(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def forbidden(path: Path) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "iterdir", forbidden)
        assert "Permission denied" in refuse(load_anchors, files.folder).message

    @pytest.mark.parametrize("mode", [0o646, 0o666, 0o777])
    def test_a_file_that_others_can_write(self, files: Files, mode: int) -> None:
        path = files("ca.pem", ROOT.pem, mode)
        for load in (load_anchors, load_believed):
            error = refuse(load, path)
            assert error.code is Code.CERT_FILE_UNREADABLE
            assert error.remedy == f"chmod go-w {path}"

    def test_a_folder_that_others_can_put_one_into(self, files: Files) -> None:
        files("root.pem", ROOT.pem)
        for mode in (0o777, 0o1777):
            files.folder.chmod(mode)
            assert refuse(load_anchors, files.folder).file == str(files.folder)
        files.folder.chmod(0o755)
        assert load_anchors(files.folder) == (ROOT.certificate,)

    def test_a_file_in_a_folder_that_others_can_write(self, files: Files) -> None:
        files("good.pem", ROOT.pem)
        # What is no certificate today may be one tomorrow.
        for content in (MIDDLE.pem, b"put authorities here"):
            writable = files("writable", content, 0o666)
            assert refuse(load_anchors, files.folder).file == str(writable)

    def test_links_as_in_the_systems_folder(self, files: Files, tmp_path: Path) -> None:
        kept = tmp_path / "kept"
        kept.mkdir()
        source = files("root.pem", ROOT.pem).rename(kept / "root.pem")
        link = files.folder / "4a6481c9.0"
        link.symlink_to(source)
        assert load_anchors(files.folder) == (ROOT.certificate,)
        source.chmod(0o666)
        assert refuse(load_anchors, files.folder).file == str(link)

    def test_of_another_account(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        path = files("ca.pem", ROOT.pem)
        pretend_account(monkeypatch, 1000)
        pretend_status(monkeypatch, mode=0o644, uid=1001, gid=1001)
        assert refuse(load_anchors, path).remedy == f"chown root {path}"
        pretend_status(monkeypatch, mode=0o644, uid=0, gid=0)
        assert load_anchors(path) == (ROOT.certificate,)

    @pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
    def test_the_systems_own_can_be_named(self) -> None:
        assert len(load_anchors(x509_files.SYSTEM_BUNDLE)) > 10


class TestSystemAnchors:
    def test_are_there_and_quietly_read(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(load_anchors()) > 10

    def test_come_from_the_file_that_openssl_names(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        odd = ROOT.pem.replace(ROOT.pem[100:140], b"A" * 40)
        bundle = files("bundle.pem", MIDDLE.pem + odd + ROOT.pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        assert load_anchors() == (MIDDLE.certificate, ROOT.certificate)

    def test_come_along_where_the_system_has_none(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(files.folder / "absent"))
        monkeypatch.setattr(x509_files, "SYSTEM_BUNDLE", files.folder / "absent as well")
        assert len(load_anchors()) > 10


class TestOddlyNamedCertificates:
    """The common name is of a type that no text has."""

    ODD = load_der_x509_certificate(oddly_named(ROOT, 3)).public_bytes(Encoding.PEM)

    def test_a_file_with_one_is_refused(self, files: Files) -> None:
        assert refuse(load_anchors, files("odd.pem", ROOT.pem + self.ODD)).code is (
            Code.CERT_FILE_UNREADABLE
        )
        odd = files("server.crt", self.ODD)
        assert refuse(load_server_credential, odd, files.key()).code is Code.CERT_FILE_UNREADABLE

    def test_one_among_the_systems_is_left_out(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(files("all.pem", ROOT.pem + self.ODD)))
        assert load_anchors() == (ROOT.certificate,)


class TestServerCredential:
    @pytest.mark.parametrize(
        "key",
        [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())],
        ids=["RSA", "P-256"],
    )
    def test_signs_responses_that_verify(self, files: Files, key: Any) -> None:
        server = issue("server", MIDDLE, names([IMAP.host]), key=key)
        credential = load_server_credential(
            str(files.certificates(server, MIDDLE)), str(files.key(server.key_pem))
        )
        trust = X509Trust([ROOT.certificate])
        verifying = trust.verify(credential.chain, IMAP, START)
        verifying.verify(credential.key.sign(b"response"), b"response")

    def test_leaves_the_anchor_out(self, files: Files) -> None:
        credential = load_server_credential(files.certificates(SERVER, MIDDLE, ROOT), files.key())
        sent = [load_der_x509_certificate(der) for der in credential.chain]
        assert sent == [SERVER.certificate, MIDDLE.certificate]

    def test_sends_a_certificate_that_signed_itself(self, files: Files) -> None:
        alone = issue("alone")
        credential = load_server_credential(files.certificates(alone), files.key(alone.key_pem))
        assert credential.chain == (alone.der,)

    def test_shows_no_key(self, files: Files) -> None:
        credential = load_server_credential(files.certificates(SERVER), files.key())
        assert "PRIVATE" not in repr(credential)

    def test_the_group_may_read_the_key(self, files: Files) -> None:
        assert load_server_credential(files.certificates(SERVER), files.key(mode=0o640))

    @pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
    def test_others_may_not(self, files: Files, mode: int) -> None:
        error = refuse(load_server_credential, files.certificates(SERVER), files.key(mode=mode))
        assert error.code is Code.KEY_FILE_UNREADABLE
        assert "chmod o=" in error.remedy

    def test_the_key_of_another_certificate(self, files: Files) -> None:
        for chain in [(MIDDLE,), (MIDDLE, SERVER)]:
            error = refuse(load_server_credential, files.certificates(*chain), files.key())
            assert error.code is Code.CERT_FILE_UNREADABLE
            assert "not for the key" in error.message

    def test_a_certificate_whose_key_signs_nothing_here(self, files: Files) -> None:
        other = issue("other", ROOT, key=ec.generate_private_key(ec.SECP384R1()))
        error = refuse(load_server_credential, files.certificates(other), files.key())
        assert "not for the key" in error.message

    @pytest.mark.parametrize(
        "key",
        [
            rsa.generate_private_key(65537, 1024),
            ec.generate_private_key(ec.SECP384R1()),
            dsa_key(),
        ],
        ids=["short RSA", "P-384", "DSA"],
    )
    def test_keys_that_sign_nothing_here(self, files: Files, key: Any) -> None:
        pem = Issued(SERVER.certificate, key).key_pem
        error = refuse(load_server_credential, files.certificates(SERVER), files.key(pem))
        assert error.code is Code.KEY_FILE_UNREADABLE

    def test_an_encrypted_key(self, files: Files) -> None:
        pem = SERVER.key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        error = refuse(load_server_credential, files.certificates(SERVER), files.key(pem))
        assert "unencrypted" in error.remedy

    @pytest.mark.parametrize(
        "content",
        [b"", b"hello", SERVER.pem, SERVER.key_pem[:100]],
        ids=["empty", "other text", "certificate", "cut off"],
    )
    def test_a_file_without_a_key(self, files: Files, content: bytes) -> None:
        error = refuse(load_server_credential, files.certificates(SERVER), files.key(content))
        assert error.code is Code.KEY_FILE_UNREADABLE

    def test_files_that_are_not_there(self, files: Files) -> None:
        absent = files.folder / "absent"
        certificate = refuse(load_server_credential, absent, files.key())
        key = refuse(load_server_credential, files.certificates(SERVER), absent)
        assert certificate.code is Code.CERT_FILE_UNREADABLE
        assert key.code is Code.KEY_FILE_UNREADABLE

    def test_a_key_this_user_may_not_read(self) -> None:
        # Not in pytest's folder, which only the user who runs the tests can enter.
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            files = Files(Path(folder))
            certificate, key = files.certificates(SERVER), files.key(mode=0)

            def load() -> str:
                return str(refuse(load_server_credential, certificate, key))

            # Root may read everything, so somebody else tries.
            said = in_child(load, user=NOBODY if os.geteuid() == 0 else None)
        assert said.startswith(f"{key}: it cannot be read: Permission denied: ")

    def test_a_chain_that_is_too_long(self, files: Files) -> None:
        chain = [SERVER]
        for number in range(9):
            chain.append(authority(f"ca {number}", ROOT))
        error = refuse(load_server_credential, files.certificates(*chain), files.key())
        assert "10 certificates" in error.message
