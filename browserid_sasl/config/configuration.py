"""The configuration as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Final, cast

from browserid_sasl.config import syntax
from browserid_sasl.config.options import NOWHERE, Origin, not_allowed, options_of, unknown
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
from browserid_sasl.config.syntax import Unfit
from browserid_sasl.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration. Without arguments it is the defaults.

    :param authorities: by domain in lower case.
    :param saml: by entity identifier.
    :param listeners: by path.
    :param programs: by account.
    :param ldap: directories of the identity provider, by name.
    :param oidc: other providers at which people sign in, by name.
    :param kerberos: realms of Kerberos, by name.
    :param pam: services of PAM that it asks, by name.
    :param domain: further domains of the identity provider, by name; see `config.domains`.
    :param certificate: people's certificates, which a web server hands on, by name.
    :param origins: where each option came from that was given in a file, by its name with its
        section, for example ``server.clock_skew``.
    :param personal: whether it is for a person, and not for a daemon.
    """

    store: StoreConfig = field(default_factory=StoreConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    client: ClientConfig = field(default_factory=ClientConfig)
    discovery: DiscoveryConfig = field(default_factory=DiscoveryConfig)
    authorities: Mapping[str, AuthorityOverride] = field(default_factory=dict)
    saml: Mapping[str, SamlAuthority] = field(default_factory=dict)
    acceptor: AcceptorConfig = field(default_factory=AcceptorConfig)
    listeners: Mapping[str, ListenerConfig] = field(default_factory=dict)
    programs: Mapping[str, ProgramsConfig] = field(default_factory=dict)
    ldap: Mapping[str, LdapConfig] = field(default_factory=dict)
    oidc: Mapping[str, OidcConfig] = field(default_factory=dict)
    kerberos: Mapping[str, KerberosConfig] = field(default_factory=dict)
    pam: Mapping[str, PamConfig] = field(default_factory=dict)
    domain: Mapping[str, DomainConfig] = field(default_factory=dict)
    certificate: Mapping[str, CertificateConfig] = field(default_factory=dict)
    idp: IdpConfig = field(default_factory=IdpConfig)
    verifier: VerifierConfig = field(default_factory=VerifierConfig)
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    personal: bool = field(default=True, compare=False, repr=False)

    def with_options(
        self, given: Mapping[str, str], *, section: str = "server", prefix: str = ""
    ) -> Config:
        """The configuration with options replaced that were given as text.

        Times are in seconds as in the file, elements of an array are separated by spaces or
        commas, truth is ``yes`` or ``no``, and a path has to be absolute.

        :param given: text by option name, for example ``{"audiences": "imap/mx.example.org"}``.
        :param section: the section the options belong to.
        :param prefix: what their names begin with where they were given, for messages only.
        :raises ConfigurationError: for an unknown option or a value that is not allowed.
        """
        base = getattr(self, section)
        known = options_of(type(base))
        values: dict[str, Any] = {}
        for name, text in given.items():
            if name not in known:
                raise unknown("option", name, known, NOWHERE, prefix)
            option = known[name]
            try:
                value = option.kind.read(option.kind.from_text(text.strip()), None)
            except Unfit as unfit:
                raise not_allowed(prefix + name, option, unfit, NOWHERE) from None
            values[name + option.kind.suffix] = value
        changes: dict[str, Any] = {section: replace(base, **values)}
        gone = {f"{section}.{name}" for name in given}
        origins = {name: origin for name, origin in self.origins.items() if name not in gone}
        return replace(self, origins=origins, **changes).checked()

    def allowing(self, entries: Iterable[str]) -> Config:
        """The configuration with who may log in to a server replaced.

        :param entries: what `allow` in [server] can have, in place of it and of `allow_file`.
        :raises ConfigurationError: for an entry that is not allowed.
        """
        option = options_of(ServerConfig)["allow"]
        # A text is a series of texts too; it gets the message of a value of the wrong type.
        value = entries if isinstance(entries, str) else list(entries)
        try:
            allow: Any = option.kind.read(value, None)
        except Unfit as unfit:
            raise not_allowed("allow", option, unfit, NOWHERE) from None
        gone = ("server.allow", "server.allow_file")
        origins = {name: origin for name, origin in self.origins.items() if name not in gone}
        server = replace(self.server, allow=allow, allow_file=None)
        return replace(self, server=server, origins=origins)

    def error(self, option: str, message: str, remedy: str = "") -> ConfigurationError:
        """An error about an option's value that shows only when it is used, such as a missing file.

        :param option: its name with its section, for example ``server.x509_key``.
        :returns: the exception to raise, with the file and line where the option was given.
        """
        origin = self.origins.get(option, NOWHERE)
        return ConfigurationError(message, remedy, file=origin.file, line=origin.line)

    def lacks_home(self, option: str) -> bool:
        """Whether a folder is where a daemon has it because there is no home to have it in.

        :param option: its name with its section, for example ``store.directory``.
        """
        section, _, name = option.partition(".")
        values = getattr(self, section)
        usual = options_of(type(values))[name].daemon
        return self.personal and option not in self.origins and getattr(values, name) == usual

    def checked(self) -> Config:
        """The configuration itself, if options that need each other are both there.

        :raises ConfigurationError: if one of them is missing.
        """
        for section in SECTIONS:
            values = getattr(self, section)
            for name, option in options_of(type(values)).items():
                if not option.together or getattr(values, name) is None:
                    continue
                if getattr(values, option.together) is None:
                    raise self.error(
                        f"{section}.{name}",
                        f"{section}.{name} is given without {section}.{option.together}",
                        "give both or neither",
                    )
        if self.store.url and self.store.key_file is None:
            raise self.error(
                "store.url",
                "store.url is given without store.key_file",
                "make a key with `browserid store-key new`, the same for all hosts, and name it",
            )
        self._check_replicas()
        return self

    def _check_replicas(self) -> None:
        asked = self.store.durability == "replicas"
        if asked and not self.store.url:
            raise self.error(
                "store.durability",
                'store.durability is "replicas" without store.url: files have none',
                'name the database that hosts share, or write "power"',
            )
        if "store.replicas" in self.origins and not asked:
            raise self.error(
                "store.replicas",
                'store.replicas is given without store.durability = "replicas"',
                "give both or neither",
            )


@dataclass(frozen=True, slots=True)
class NamedSections:
    """Sections of one kind, any number of them, each with a name of its own in quotes.

    :param of: their options.
    :param what: what the name is.
    :param syntax: of the name: returns its normal spelling, or raises `Unfit`.
    :param example: of a name.
    """

    of: type[Any]
    what: str
    syntax: Callable[[str], str]
    example: str


NAMED_SECTIONS: Final[dict[str, NamedSections]] = {
    "authorities": NamedSections(AuthorityOverride, "domain", syntax.domain, "example.org"),
    "saml": NamedSections(
        SamlAuthority,
        "entity identifier",
        syntax.entity_id,
        "https://idp.example.org/metadata",
    ),
    "listeners": NamedSections(
        ListenerConfig, "path", syntax.socket_path, "/run/browserid/acceptor"
    ),
    "programs": NamedSections(ProgramsConfig, "account", syntax.account, "www-data"),
    "ldap": NamedSections(LdapConfig, "name", syntax.own_backend, "staff"),
    "oidc": NamedSections(OidcConfig, "name", syntax.own_backend, "company"),
    "kerberos": NamedSections(KerberosConfig, "name", syntax.own_backend, "desks"),
    "pam": NamedSections(PamConfig, "name", syntax.own_backend, "desks"),
    "domain": NamedSections(DomainConfig, "domain", syntax.own_domain, "example.net"),
    "certificate": NamedSections(CertificateConfig, "name", syntax.own_backend, "cards"),
}

SECTIONS: Final[dict[str, type[Any]]] = {
    declared.name: section
    for declared in fields(Config)
    if isinstance(section := cast(Any, declared.default_factory), type) and is_dataclass(section)
}
