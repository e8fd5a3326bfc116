"""People's certificates as a configuration describes them."""

from __future__ import annotations

from browserid_sasl.config import CertificateConfig, Config
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.backends.certificate import CertificateBackend, HandedOn
from browserid_sasl.idp.backends.certificate_lists import RevocationLists
from browserid_sasl.idp.backends.certificate_names import Naming, PeopleFile
from browserid_sasl.idp.backends.certificate_trust import PeopleTrust
from browserid_sasl.idp.backends.directory_configuration import directory_of
from browserid_sasl.idp.backends.front_server_configuration import front_server
from browserid_sasl.x509.files import load_anchors


def certificate_backend(config: Config, name: str) -> CertificateBackend:
    """The certificates of a section.

    :raises ConfigurationError: it lacks something, or a file of it cannot be used.
    """
    options = config.certificate[name]
    _check(config, name, options)
    return CertificateBackend(
        name,
        label=options.label,
        front=front_server(config, "certificate", name),
        handed_on=HandedOn(options.form, options.header.lower(), options.chain_header.lower()),
        trust=_trust(options),
        naming=Naming(
            options.person,
            options.address,
            config.idp.domain,
            PeopleFile(options.people_file) if options.people_file else None,
        ),
        directory=directory_of(config, "certificate", name),
    )


def _trust(options: CertificateConfig) -> PeopleTrust:
    lists = RevocationLists(options.crl_file) if options.crl_file else None
    return PeopleTrust(load_anchors(options.authorities_file), lists)


def _check(config: Config, name: str, options: CertificateConfig) -> None:
    def wrong(option: str, message: str, remedy: str) -> ConfigurationError:
        where = f"certificate.{name}.{option}"
        return config.error(where, f'[certificate."{name}"] {message}', remedy)

    if options.authorities_file is None:
        # Those that the system has vouch for web servers, and for no people of this domain.
        raise wrong(
            "authorities_file",
            "has no authorities_file",
            "name a PEM file with the authorities that issue the certificates",
        )
    if not config.idp.domain:
        raise config.error(
            "idp.domain",
            f'[certificate."{name}"] takes addresses from certificates, and [idp] has no domain',
            "give the domain of the addresses",
        )
    if options.chain_header and options.form != "rfc9440":
        raise wrong(
            "chain_header",
            f'has a chain_header, and the form "{options.form}" has none',
            "put the certificates of all authorities into authorities_file",
        )
    if options.people_file and options.person == "address":
        raise wrong(
            "people_file",
            'has people_file, and person = "address"',
            "say what of a certificate the people in the file are called by",
        )
