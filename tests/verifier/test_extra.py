"""`browserid-verifier` where the packages of its extra are not installed."""

from __future__ import annotations

import pytest

from tests.support.extras import check_it_says_what_to_install


@pytest.mark.parametrize("package", ["anyio", "starlette", "uvicorn"])
def test_it_says_what_to_install(package: str) -> None:
    check_it_says_what_to_install("browserid-verifier", "browserid_sasl.verifier.cli", package)
