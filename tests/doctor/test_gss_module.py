"""What the doctor says of the module for GSS-API: a good set-up, and each of what can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from browserid_sasl import __version__
from browserid_sasl.config import ProgramsConfig
from browserid_sasl.doctor.findings import Finding, Verdict
from browserid_sasl.doctor.gss_module import gss_module, may_accept
from browserid_sasl.doctor.peers import imapd
from browserid_sasl.doctor.plugin import only_by_gs2, plugin
from browserid_sasl.gss.mechanisms import MECHANISMS
from tests.support import ailments


class SetUp:
    """A module, the file that names it, and a folder of libsasl2; tests break them."""

    def __init__(self, folder: Path, release: str = __version__) -> None:
        library = ailments.plugin(folder / "made", release) / "libbrowserid.so"
        self.module = folder / "mech_browserid.so"
        self.ours = folder / "sasl2" / "libbrowserid.so"
        self.gs2 = folder / "sasl2" / "libgs2.so"
        self.ours.parent.mkdir()
        self.module.write_bytes(library.read_bytes())
        self.module.chmod(0o644)
        self.file = folder / "browserid.conf"
        self.write(str(self.module))
        self.environment = {
            "GSS_MECH_CONFIG": str(self.file),
            "SASL_PATH": str(self.ours.parent),
        }

    def write(self, module: str, without: str = "") -> None:
        rows = [row for row in MECHANISMS if row.name != without]
        lines = (f"{row.name.lower()} {'.'.join(map(str, row.oid))} {module}\n" for row in rows)
        self.file.write_text("# ours\n" + "".join(lines))

    def findings(self, installed: Path = Path("/nowhere")) -> list[Finding]:
        return list(gss_module(self.environment, __version__, installed))

    def complaint(self, installed: Path = Path("/nowhere")) -> Finding:
        [complaint] = [each for each in self.findings(installed) if each.verdict]
        assert complaint.check == "GSS-API"
        assert complaint.remedy
        return complaint


@pytest.fixture
def set_up(tmp_path: Path) -> SetUp:
    return SetUp(tmp_path)


class TestModule:
    def test_a_good_one(self, set_up: SetUp) -> None:
        [finding] = set_up.findings()
        assert finding.verdict is Verdict.GOOD
        assert f"{set_up.module} is found by MIT's GSS-API" in finding.message

    def test_no_line_and_no_module(self, set_up: SetUp) -> None:
        set_up.file.write_text("")
        [finding] = set_up.findings()
        assert finding.verdict is Verdict.GOOD

    def test_a_module_that_no_line_names(self, set_up: SetUp) -> None:
        set_up.file.write_text("")
        complaint = set_up.complaint(installed=set_up.module)
        assert complaint.verdict is Verdict.DOUBTFUL
        assert "no file names it" in complaint.message

    def test_a_mechanism_without_a_line(self, set_up: SetUp) -> None:
        set_up.write(str(set_up.module), without="BROWSERID-AES128")
        complaint = set_up.complaint()
        assert complaint.verdict is Verdict.DOUBTFUL
        assert f"{set_up.file} has no line for BROWSERID-AES128:" in complaint.message

    def test_a_file_that_there_is_not(self, set_up: SetUp) -> None:
        set_up.file.unlink()
        complaint = set_up.complaint()
        assert complaint.verdict is Verdict.DOUBTFUL
        assert f"{set_up.file} cannot be read" in complaint.message

    def test_a_path_with_nothing_at_its_end(self, set_up: SetUp) -> None:
        set_up.write("/nowhere/mech_browserid.so")
        complaint = set_up.complaint()
        assert complaint.verdict is Verdict.BAD
        assert "/nowhere/mech_browserid.so cannot be loaded" in complaint.message

    def test_a_path_without_its_folder(self, set_up: SetUp) -> None:
        set_up.write("mech_browserid.so")
        complaint = set_up.complaint()
        assert complaint.verdict is Verdict.BAD
        assert "without its folder" in complaint.message

    def test_one_that_cannot_be_loaded(self, set_up: SetUp) -> None:
        set_up.module.write_bytes(b"\x7fELF of another machine")
        assert set_up.complaint().verdict is Verdict.BAD

    def test_one_of_another_release(self, tmp_path: Path) -> None:
        complaint = SetUp(tmp_path, "0.0.1").complaint()
        assert complaint.verdict is Verdict.DOUBTFUL
        assert "is of release 0.0.1" in complaint.message

    def test_one_that_everybody_can_write_to(self, set_up: SetUp) -> None:
        set_up.module.chmod(0o666)
        complaint = set_up.complaint()
        assert complaint.verdict is Verdict.BAD
        assert "everybody can write to" in complaint.message

    def test_one_that_only_root_can_load(self, set_up: SetUp) -> None:
        set_up.module.chmod(0o600)
        complaint = set_up.complaint()
        assert complaint.verdict is Verdict.DOUBTFUL
        assert "only root's programs can load" in complaint.message


class TestBesideTheGs2Plugin:
    def said(self, set_up: SetUp) -> list[tuple[Verdict, str]]:
        found = plugin(set_up.environment, __version__, Verdict.BAD)
        return [(each.verdict, each.message) for each in found]

    def test_neither(self, set_up: SetUp) -> None:
        [(verdict, message)] = self.said(set_up)
        assert verdict is Verdict.BAD
        assert "there is no libbrowserid.so" in message

    def test_gs2_alone(self, set_up: SetUp) -> None:
        set_up.gs2.touch()
        assert only_by_gs2(set_up.environment)
        said = f"{set_up.gs2} has the mechanisms by the module for GSS-API"
        assert self.said(set_up) == [(Verdict.GOOD, said)]

    def test_gs2_without_the_module(self, set_up: SetUp) -> None:
        set_up.gs2.touch()
        set_up.file.write_text("")
        assert [verdict for verdict, _ in self.said(set_up)] == [Verdict.BAD]

    def test_both(self, set_up: SetUp) -> None:
        set_up.gs2.touch()
        set_up.ours.write_bytes(set_up.module.read_bytes())
        assert not only_by_gs2(set_up.environment)
        [ours, (verdict, message)] = self.said(set_up)
        assert ours[0] is verdict is Verdict.GOOD
        assert message == f"{set_up.gs2} leaves the mechanisms to it"


class TestServicesByGs2:
    def complaints(self, **programs: ProgramsConfig) -> list[str]:
        found = list(may_accept(programs, "imap"))
        assert all(each.verdict is Verdict.BAD and each.remedy for each in found)
        return [each.message for each in found]

    def test_an_account_that_may(self) -> None:
        assert self.complaints(cyrus=ProgramsConfig(services=("imap",), keys=True)) == []

    def test_none_that_may(self) -> None:
        said = ["no account's programs may accept contexts for imap"]
        assert self.complaints() == said
        assert self.complaints(cyrus=ProgramsConfig(services=("IMAP",), keys=True)) == said

    def test_one_without_keys(self) -> None:
        [said] = self.complaints(cyrus=ProgramsConfig(services=("imap",)))
        assert "of the account cyrus are given no keys" in said

    def imapd(self, folder: Path, mechanisms: str) -> list[tuple[Verdict, str]]:
        file = folder / "imapd.conf"
        file.write_text(f"sasl_mech_list: {mechanisms}\n")
        return [(each.verdict, each.remedy) for each in imapd(file, "host", {}, by_gs2=True)]

    @pytest.mark.parametrize(
        "mechanisms", ["BROWSERID-AES128", "BROWSERID-AES128 BROWSERID-PADDING"]
    )
    def test_imapd_whose_list_nothing_makes_room_in(self, tmp_path: Path, mechanisms: str) -> None:
        """The row for padding is our own plugin's."""
        expected = [(Verdict.BAD, "add PLAIN to sasl_mech_list")]
        assert self.imapd(tmp_path, mechanisms) == expected

    def test_imapd_with_room(self, tmp_path: Path) -> None:
        assert self.imapd(tmp_path, "BROWSERID-AES128 PLAIN") == [(Verdict.GOOD, "")]
