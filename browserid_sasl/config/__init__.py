"""One typed configuration, read from one file format.

    config = load()
    config.server.clock_skew_ms

Options and their sections are declared in `sections`; docs/configuration.md is generated from
there by ``python -m browserid_sasl.config``.
"""

from browserid_sasl.config.configuration import Config
from browserid_sasl.config.files import candidate_files, load
from browserid_sasl.config.options import Origin, options_of
from browserid_sasl.config.sections import (
    AcceptorConfig,
    AuthorityOverride,
    CertificateConfig,
    ClientConfig,
    DiscoveryConfig,
    DomainConfig,
    IdpConfig,
    KerberosConfig,
    LdapConfig,
    ListenerConfig,
    OidcConfig,
    PamConfig,
    ProgramsConfig,
    SamlAuthority,
    ServerConfig,
    StoreConfig,
    VerifierConfig,
)

__all__ = [
    "AcceptorConfig",
    "AuthorityOverride",
    "CertificateConfig",
    "ClientConfig",
    "Config",
    "DiscoveryConfig",
    "DomainConfig",
    "IdpConfig",
    "KerberosConfig",
    "LdapConfig",
    "ListenerConfig",
    "OidcConfig",
    "Origin",
    "PamConfig",
    "ProgramsConfig",
    "SamlAuthority",
    "ServerConfig",
    "StoreConfig",
    "VerifierConfig",
    "candidate_files",
    "load",
    "options_of",
]
