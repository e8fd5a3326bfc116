"""What a test expects of something that is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from browserid_sasl.errors import BrowserIDError, Code


@contextmanager
def refused(
    code: Code, reason: str = "", kind: type[BrowserIDError] = BrowserIDError
) -> Iterator[pytest.ExceptionInfo[BrowserIDError]]:
    """Expect an error of this package, with this code, for a reason that mentions this."""
    with pytest.raises(kind) as refusal:
        yield refusal
    error = refusal.value
    assert error.code is code, f"{error.code.text} instead of {code.text}: {error}"
    assert reason in str(error)
    assert str(error).isprintable()
