"""The commands of README.md, run on a machine as they stand there."""

from __future__ import annotations

from tests.support.guide import PASSWORD_FILE, Block, blocks_of
from tests.support.machine import Machine
from tests.support.sample_programs import ROOT

SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
ASKING = ("browserid login", "browserid-idp add-user", "browserid-idp set-password")
BLOCKS = blocks_of(ROOT / "README.md")


def with_passwords(command: str) -> str:
    asks = command.startswith(ASKING)
    return f"{command} --password-file {PASSWORD_FILE}" if asks else command


class Reader:
    """Somebody with a home of their own, who does what README.md says."""

    def __init__(self, computer: Machine, name: str) -> None:
        self.computer = computer
        self.home = f"/srv/{name}"
        computer.do(f"install -d -m 700 {self.home}")

    def do(self, command: str, *, folder: str = "") -> str:
        """Do one command; those that go on running do so."""
        command = with_passwords(command)
        where = {"folder": folder or self.home, "home": self.home}
        if command.startswith(("browserid-idp serve", "./sample_server.py")):
            command = (
                f"setsid {command} >{self.home}/said 2>&1 </dev/null & echo $! >>{self.home}/pids"
            )
        return self.computer.do(command, **where)

    def end(self) -> None:
        """End what goes on running."""
        pids = f"{self.home}/pids"
        self.computer.do(f"kill $(cat {pids})")
        self.computer.wait_for(f"! kill -0 $(cat {pids}) && rm {pids}")


def block_with(command: str) -> Block:
    [block] = [block for block in BLOCKS if block.text.startswith(command)]
    return block


def test_a_domain_has_a_provider_and_its_people_sign_in(computer: Machine) -> None:
    reader = Reader(computer, "domain")
    computer.do(f"cp /etc/ssl/certs/example.org.pem {reader.home}/chain.pem")
    computer.do(f"cp /etc/ssl/private/example.org.key {reader.home}/key.pem")
    computer.write(
        f"{reader.home}/.config/browserid/browserid.toml",
        '[authorities."example.org"]\nurl = "https://example.org"\n'
        f'ca_file = "{SYSTEM_AUTHORITIES}"\n',
    )
    for command in block_with("browserid-idp init --domain example.org").text.splitlines():
        reader.do(command)
    computer.wait_for_port(443)
    login, logout = block_with("browserid login").text.splitlines()
    reader.do(login)
    assert "alice@example.org" in reader.do("browserid list")
    reader.do(logout)
    assert "alice@example.org" not in reader.do("browserid list")
    reader.end()


def test_the_plugin_is_found_once_it_is_installed(computer: Machine) -> None:
    install, view = block_with("make install").text.splitlines()
    assert install == "make install", "which was done when the machine was made"
    assert "BROWSERID-AES128" in Reader(computer, "plugin").do(view)


def test_one_machine_does_all_of_it(computer: Machine) -> None:
    reader = Reader(computer, "alone")
    provider = block_with("browserid-idp init --domain example.test")
    for command in provider.text.splitlines():
        reader.do(command)
    computer.wait_for_port(8443)
    [configuration] = [block.text for block in BLOCKS if block.kind == "toml"]
    file = configuration.splitlines()[0].removeprefix("# ~")
    computer.write(reader.home + file, configuration)
    reader.do("browserid login alice@example.test")

    server, client = block_with("./sample_server.py").text.splitlines()
    reader.do(server, folder=str(ROOT))
    computer.wait_for_port(5556)
    said = reader.do(client, folder=str(ROOT))
    assert "successful authentication" in said
    assert "alice@example.test" in computer.do(f"cat {reader.home}/said")
    reader.end()
