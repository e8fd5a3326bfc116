"""mech_browserid.so in MIT's mechanism glue: programs that know GSS-API and nothing of us."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gss import Gs2, GssSite, gss_site
from tests.support.sample_programs import ALICE
from tests.support.services import AES128, Installation, folder_for_all


@pytest.fixture
def gss(installation: Installation, provider_key: object) -> Iterator[GssSite]:
    """A site whose service has a certificate, where programs of this account may accept."""
    with folder_for_all() as folder, gss_site(installation, folder, provider_key) as site:
        site.realm.sign_in()
        yield site


class TestStockGs2Plugin:
    """Debian's GS2 plugin for Cyrus SASL, with its sample programs, and none of ours."""

    def test_lists_the_mechanism(self, gss: GssSite) -> None:
        assert AES128 in Gs2(gss).listed()

    def test_logs_in_afresh_and_by_ticket(self, gss: GssSite) -> None:
        programs = Gs2(gss)
        for _ in ("afresh", "by ticket"):
            said = programs.log_in()
            assert f"okay, authenticated as {ALICE}" in said or "authenticated" in said.lower(), said
