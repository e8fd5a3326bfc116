"""docs/acceptor.md: the service, without any program that asks it."""

from __future__ import annotations

import pytest

from tests.support.guide import Guide, blocks_of, systemctl
from tests.support.machine import Machine
from tests.support.sample_programs import ROOT

BLOCKS = blocks_of(ROOT / "docs" / "acceptor.md")


def test_the_packages_that_it_names_have_its_commands(acceptor: Guide) -> None:
    assert acceptor.commands_without_a_package() == []


def test_make_install_says_where_to_go_on(computer: Machine) -> None:
    assert "docs/acceptor.md" in computer.do("cat installed")


@pytest.mark.usefixtures("acceptor")
class TestWhatItMakes:
    def test_an_account_that_the_service_runs_as(self, computer: Machine) -> None:
        assert computer.do("id -gn browserid") == "browserid\n"
        running = computer.do("ps -C browserid-accept -o user=").split()
        assert running and set(running) == {"browserid"}

    def test_a_store_that_is_the_services_alone(self, computer: Machine) -> None:
        assert computer.do("stat -c '%U %a' /var/lib/browserid") == "browserid 700\n"

    def test_a_configuration_that_only_root_can_write(self, computer: Machine) -> None:
        assert computer.do("stat -c '%U %a' /etc/browserid/browserid.toml") == "root 644\n"

    def test_a_store_that_its_account_can_look_into(self, computer: Machine) -> None:
        [command] = [block.text for block in BLOCKS if "bidtool" in block.text]
        assert "there are no tickets" in computer.do(command)
        tried = computer.run(command.replace("-u browserid", "-u nobody"))
        assert "/var/lib/browserid belongs to another user" in tried.stdout

    def test_a_service_that_goes_on_with_a_changed_configuration(self, computer: Machine) -> None:
        systemctl(computer, "systemctl reload browserid-acceptor")


def test_the_filter_goes_where_fail2ban_looks(computer: Machine) -> None:
    [command] = [block.text for block in BLOCKS if "fail2ban" in block.text]
    computer.do(command, folder=str(ROOT))
    assert computer.do("stat -c %a /etc/fail2ban/filter.d/browserid-acceptor.conf") == "644\n"
