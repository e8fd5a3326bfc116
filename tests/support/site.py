"""A site on disk: a pinned identity provider, a server's and a person's stores."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from browserid_sasl.config import AuthorityOverride, Config, ServerConfig, StoreConfig
from browserid_sasl.identity import certificate
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.store import open_initiator
from tests.support.world import ALICE, HOUR, key, support_document

DOMAIN = "idp.test"


@dataclass(frozen=True)
class Site:
    """A site in a folder, whose server admits the people of its identity provider's domain.

    :param folder: where its files are.
    """

    folder: Path

    @property
    def config(self) -> Config:
        """A configuration that trusts the site's identity provider, without a network."""
        document = self.folder / "support.json"
        document.write_text(json.dumps(support_document(key("idp"))))
        return Config(
            store=StoreConfig(
                directory=self.folder / "client", server_directory=self.folder / "server"
            ),
            server=ServerConfig(allow=(DOMAIN,)),
            authorities={DOMAIN: AuthorityOverride(keys_file=document)},
        )

    def sign_in(
        self,
        identity: str = ALICE,
        user_key: PrivateKey | None = None,
        attributes: Mapping[str, Any] | None = None,
        *,
        life: int = HOUR,
        directory: str = "client",
    ) -> None:
        """Put a key and a fresh certificate, with these claims, where a client finds them."""
        user_key = user_key or key("alice")
        now = time.time_ns() // 1_000_000
        text = certificate.issue(
            DOMAIN,
            identity,
            user_key.public_key,
            issued_at=now,
            expires=now + life,
            signing_key=key("idp"),
            attributes=attributes,
        )
        stores = open_initiator(self.folder / directory / "client.db")
        stores.identities.put(IdentityRecord(identity, user_key.to_pem(), text, now + life))

    def in_memory(self) -> Config:
        """The same configuration with stores that last as long as the process."""
        return replace(self.config, store=replace(self.config.store, backend="memory"))
