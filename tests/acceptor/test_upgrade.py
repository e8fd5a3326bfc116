"""A service that runs on while what it was started from is replaced below its feet."""

from __future__ import annotations

import shutil
import signal
import sys

from tests.support.acceptor import Daemon, Host, Program
from tests.support.patience import wait_until
from tests.support.sample_programs import ROOT
from tests.support.services import AES128


def test_it_needs_nothing_more_of_its_files(host: Host) -> None:
    """All ways that a login can take, and a reload, with every module of ours gone."""
    release = host.folder / "release"
    shutil.copytree(ROOT / "browserid_sasl", release / "browserid_sasl")
    here = f"import sys; sys.path.insert(0, {str(release)!r})"
    start = f"{here}; from browserid_sasl.acceptor.cli import main; sys.exit(main())"
    host.configure(workers=1)
    daemon = Daemon(host.config_file, host.output, command=(sys.executable, "-c", start))
    try:
        daemon.wait_ready()
        shutil.rmtree(release)
        client = host.client()
        with Program(host.socket) as program:
            for id in range(2):
                reply = program.log_in(client.start_with(AES128), id, bid="1")
                assert reply.verb == "OK", reply.parameters
            message = host.mechanism().step(None)
            for id, verb in ((3, "OK"), (4, "FAIL")):
                program.begin(id, AES128, message, bid="1")
                assert program.reply().verb == verb
            stranger = host.realm.person("eve@unknown.example")
            program.begin(5, AES128, host.mechanism(person=stranger).step(None), bid="1")
            assert program.reply().parameters["bid_code"] == "no-local-mapping"
            host.configure("[discovery]\ntimeout = 1\n", allow=("*",), workers=1)
            daemon.signal(signal.SIGHUP)
            daemon.wait_ready(2)
            # Its domain is looked for, and not found.
            program.begin(6, AES128, host.mechanism(person=stranger).step(None), bid="1")
            assert program.reply().parameters["bid_code"] == "http-error"
            program.begin(7, AES128, host.mechanism().step(None), bid="1", **{"bid_opt.x": "1"})
            assert "temp" in program.reply().parameters
        host.config_file.write_text("[acceptor]\nworkers = x\n")
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: "the configuration stays as it is" in daemon.log, "the complaint")
        assert "internal error" not in daemon.log
        assert "installation is damaged" not in daemon.log
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    finally:
        daemon.kill()
