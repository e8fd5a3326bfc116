"""From the configuration of a domain to its provider."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from browserid_sasl.api.authorities import resolver
from browserid_sasl.config import Config, IdpConfig
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.audit import Event, Retention
from browserid_sasl.idp.backends.configured import configured_backends
from browserid_sasl.idp.fallback import Fallback
from browserid_sasl.idp.folder import Provider, ProviderFolder, Sharing
from browserid_sasl.idp.limits import Policy
from browserid_sasl.idp.look import Logo, Look
from browserid_sasl.idp.mail_limits import MailLimits
from browserid_sasl.idp.mailed_codes import MailedCodes
from browserid_sasl.idp.outside import Backends
from browserid_sasl.idp.ownership import become_owner_of
from browserid_sasl.idp.passwords import Cost
from browserid_sasl.idp.postman import MailServer, Postman
from browserid_sasl.idp.sessions import SessionPolicy
from browserid_sasl.jose.keys import PublicKey
from browserid_sasl.store.base import system_clock
from browserid_sasl.store.memory import MemoryAuthorityCache

_NONE: Final = Backends()


def folder_of(options: IdpConfig) -> ProviderFolder:
    """The folder of a domain's provider, as whose owner this process goes on where it was root.

    :raises ConfigurationError: it may not do so.
    """
    become_owner_of(options.directory)
    sharing = Sharing(options.database, options.key_encryption_file)
    retention = Retention(options.audit_life_ms, options.audit_entries)
    return ProviderFolder(options.directory, sharing, retention, options.domain)


def open_to_look_after(options: IdpConfig, backends: Backends = _NONE) -> Provider:
    """A provider for a command that looks after it.

    :param backends: what it asks about people, if the command does.
    :raises ConfigurationError: there is none, or it is another domain's.
    :raises StoreError: its database cannot be used, or others than its owner have access.
    """
    return folder_of(options).open(
        authority=options.authority,
        public_url=options.public_url,
        rp_id=options.rp_id,
        cost=cost_of(options),
        backends=backends,
        everywhere=options.fallback,
    )


def open_to_serve(config: Config, folder: ProviderFolder) -> Provider:
    """A provider with all that `idp` of a configuration says of it.

    :raises ConfigurationError: there is none, or it is not configured as it has to be.
    :raises StoreError: its database cannot be used, or others than its owner have access.
    """
    options = config.idp
    provider = folder.open(
        Policy(options.failed_sign_ins, options.failed_sign_in_window_ms),
        SessionPolicy(options.session_life_ms, options.session_idle_ms),
        authority=options.authority,
        public_url=options.public_url,
        rp_id=options.rp_id,
        renewal_life=options.renewal_life_ms,
        cost=cost_of(options),
        backends=configured_backends(config),
        second_step=options.second_step,
        everywhere=options.fallback,
    )
    provider = replace(provider, look=_look(options))
    for key in provider.keys.published(system_clock()):
        check_spelling(options, key.algorithm.name)
    provider.passkeys.check_rp_id()
    _check_embedders(options, provider)
    return (
        replace(provider, fallback=_fallback(config, folder, provider))
        if options.fallback
        else provider
    )


def published_keys(options: IdpConfig) -> dict[str, PublicKey]:
    """The keys that a domain's provider publishes, by their names. Nothing is changed.

    :raises ConfigurationError: there is no provider.
    :raises StoreError: they cannot be read.
    """
    now = system_clock()
    keys = folder_of(options).keys.all()
    return {each.name: each.private_key.public_key for each in keys if each.is_published(now)}


def cost_of(options: IdpConfig) -> Cost:
    """What hashes of passwords cost."""
    return Cost(options.password_memory, options.password_passes)


def mail_limits_of(options: IdpConfig, provider: Provider) -> MailLimits:
    """How much mail a fallback provider sends."""
    return MailLimits(provider.database, provider.audit, options.mails_per_hour)


def check_spelling(options: IdpConfig, algorithm: str) -> None:
    """See that keys can be written in the configured way.

    :raises ConfigurationError: those of this algorithm cannot.
    """
    if options.key_spelling == "classic" and algorithm == "ES256":
        raise ConfigurationError(
            "a signing key for ES256 cannot be written in the spelling `classic`, which has none"
            " for P-256 keys",
            "have a key for RS256 (`--key-type RS256`, with `rotate-key --withdraw-old` where there"
            " is another), or leave `key_spelling` out of [idp]",
        )


def _look(options: IdpConfig) -> Look:
    logo = Logo.read(options.logo_file) if options.logo_file else None
    return Look(options.name, options.accent_colour, logo)


def _check_embedders(options: IdpConfig, provider: Provider) -> None:
    authority = provider.authority
    if options.embedders and urlsplit(provider.public_url).hostname != authority:
        raise ConfigurationError(
            "`embedders` in [idp] need the pages where programs find the provider: the cookies of"
            f" those at {provider.public_url} do not get to https://{authority}/provisioning",
            f"leave out `embedders`, or have `public_url` at the host {authority}",
        )


def _fallback(config: Config, folder: ProviderFolder, provider: Provider) -> Fallback:
    """What a provider needs that certifies for other domains."""
    options = config.idp
    server = MailServer(
        options.mail_server,
        options.mail_port,
        options.mail_tls,
        provider.authority,
        options.mail_user,
        options.mail_password_file,
        options.mail_ca_file,
    )
    server.check()

    def failed(email: str, why: str) -> None:
        provider.audit.write(Event.MAIL_FAILED, system_clock(), email=email, reason=why)

    fallback = Fallback(
        domain=provider.domain,
        provider_of=resolver(config, MemoryAuthorityCache()).provider_of,
        limits=mail_limits_of(options, provider),
        codes=MailedCodes(provider.database, provider.secret, provider.audit),
        postman=Postman(server, folder.outbox, failed),
        sender=options.mail_sender or f"no-reply@{provider.domain}",
        bounces=options.mail_bounces,
        authority=provider.authority,
    )
    return fallback.checked()
