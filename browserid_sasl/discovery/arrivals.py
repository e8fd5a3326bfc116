"""Identity providers' documents that are fetched elsewhere while the exchange waits.

A service with one thread cannot fetch a document itself: everybody else would wait too. So where a
login, or a verification, needs a document that is not at hand, its step stops with
`DocumentNeeded`. Nothing has been stored or answered then. Whoever runs it gets the document, hands
it to `ArrivedDocuments`, and repeats the step, which finds it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from browserid_sasl.config import Config
from browserid_sasl.discovery.fetcher import HttpsFetcher
from browserid_sasl.discovery.pinned import read_pinned
from browserid_sasl.errors import BrowserIDError, Code, DiscoveryError
from browserid_sasl.identity.authority import FetchedDocument


@dataclass(frozen=True, slots=True)
class DocumentName:
    """Which document it is.

    :param domain: who publishes it.
    :param principal_domain: the domain of the people it is about.
    :param path: of the domain's list of revoked keys; empty for its support document.
    """

    domain: str
    principal_domain: str
    path: str = ""

    def fetch(self, fetcher: HttpsFetcher) -> FetchedDocument:
        """Get it over HTTPS, which takes its time.

        :raises DiscoveryError: http-error, unavailable.
        """
        if not self.path:
            return fetcher.fetch(self.domain, self.principal_domain)
        octets = fetcher.fetch_list(self.domain, self.principal_domain, self.path)
        return FetchedDocument(octets, None)


class DocumentNeeded(Exception):
    """A step cannot go on without a document, and has changed nothing.

    :param name: the document's.
    """

    def __init__(self, name: DocumentName) -> None:
        super().__init__(name)
        self.name = name


Arrival = FetchedDocument | DiscoveryError
"""What came of fetching a document."""

Fetch = Callable[[DocumentName], Arrival]


class ArrivedDocuments:
    """A `Fetcher` and `ListFetcher` that has only what is pinned to a file, and what it was handed.

    :param config: says what is pinned.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._arrived: dict[DocumentName, Arrival] = {}

    @contextmanager
    def handing(self, name: DocumentName, arrival: Arrival) -> Iterator[None]:
        """Have a document, or the reason why there is none, at hand within the block."""
        self._arrived[name] = arrival
        try:
            yield
        finally:
            del self._arrived[name]

    def fetch(self, domain: str, principal_domain: str) -> FetchedDocument:
        """See `Fetcher.fetch`.

        :raises DocumentNeeded: if it was not handed over.
        """
        config = self._config
        pinned = read_pinned(config.authorities, domain, config.discovery.max_size)
        if pinned is not None:
            return pinned
        return self._taken(DocumentName(domain, principal_domain))

    def fetch_list(self, domain: str, principal_domain: str, path: str) -> bytes:
        """See `ListFetcher.fetch_list`.

        :raises DocumentNeeded: if it was not handed over.
        """
        return self._taken(DocumentName(domain, principal_domain, path)).body

    def _taken(self, name: DocumentName) -> FetchedDocument:
        if name not in self._arrived:
            raise DocumentNeeded(name)
        arrival = self._arrived[name]
        if isinstance(arrival, BrowserIDError):
            raise DiscoveryError.again(arrival)
        return arrival


def fetched(name: DocumentName, fetch: Fetch) -> Arrival:
    """What comes of fetching: whatever happens is an arrival, or people would wait for ever."""
    try:
        return fetch(name)
    except DiscoveryError as error:
        return error
    except BrowserIDError as error:
        return DiscoveryError.again(error)
    except Exception as error:
        return DiscoveryError(
            Code.HTTP_ERROR,
            f"the document of {name.domain} cannot be fetched ({type(error).__name__})",
        )
