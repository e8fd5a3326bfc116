"""Identity providers' documents, fetched over HTTPS (PROTOCOL.md section 2).

The names that are asked for come from tokens, so from strangers: everything here is about not
being led to a private address, not waiting and not reading for ever, and believing nobody who
does not prove the name by TLS.
"""

from browserid_sasl.discovery.fetcher import HttpsFetcher
from browserid_sasl.discovery.https import Answer

__all__ = ["Answer", "HttpsFetcher"]
