"""An authority for servers on loopback, and names that lead to them."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tests.support.https import write_ca
from tests.support.network import DOMAIN


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ca(authority, tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert(DOMAIN)
