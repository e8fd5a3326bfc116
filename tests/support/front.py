"""A web server of everybody's kind before a provider: nginx, set up as the page says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.household import Authority
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import listens

PROGRAM: Final = "/usr/sbin/nginx"

_MAIN: Final = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
access_log off;
{temporary}
{servers}
}}
"""
_SERVER: Final = """
server {{
listen 127.0.0.1:{port} ssl;
server_name {name};
ssl_certificate {chain};
ssl_certificate_key {key};
{locations}
}}
"""
_TEMPORARY: Final = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def front(
    folder: Path, authority: Authority, port: int, locations: Mapping[str, str]
) -> Iterator[None]:
    """Run a web server until the block ends.

    :param folder: an empty one.
    :param authority: of its certificates.
    :param port: of loopback, where it listens for all of its hosts.
    :param locations: by the name of the host, the configuration of what it has.
    """
    servers = []
    for name, has in locations.items():
        chain, key = authority.certificate(name)
        servers.append(_SERVER.format(port=port, name=name, chain=chain, key=key, locations=has))
    temporary = "".join(f"{name}_temp_path {folder}/{name};\n" for name in _TEMPORARY)
    main = _MAIN.format(folder=folder, temporary=temporary, servers="".join(servers))
    # Started by root, it would have another account read what it keeps here.
    user = "user root;\n" if os.geteuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(user + main)
    process = subprocess.Popen((PROGRAM, "-c", str(file), "-p", str(folder), "-e", "stderr"))
    try:
        wait_until(lambda: listens(port) or process.poll() is not None, "the web server")
        assert process.poll() is None
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)
