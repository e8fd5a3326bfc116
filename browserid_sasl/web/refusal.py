"""Why a request is refused, as the client learns it."""

from __future__ import annotations

from browserid_sasl.errors import Code, RemoteProtocolError


class RefusedError(RemoteProtocolError):
    """A request that is refused for a reason of HTTP or of the sign-in.

    :param status: HTTP status code.
    :param word: the reason for programs, which an answer has as `error`.
    :param message: the reason for people, one sentence.
    :param code: the reason in this package's terms.
    :param retry_after: s after which the client may try again, 0 if that does not help.
    """

    def __init__(
        self,
        status: int,
        word: str,
        message: str,
        code: Code = Code.INVALID_PARAMETER,
        *,
        retry_after: int = 0,
    ) -> None:
        super().__init__(code, message)
        self.status = status
        self.word = word
        self.retry_after = retry_after
