"""Signing in with a password, for scripts and for providers that have nothing else."""

from __future__ import annotations

from browserid_sasl.agent.application import Application
from browserid_sasl.identity.ports import IdentityRecord


def sign_in(application: Application, password: str) -> IdentityRecord:
    """Have a key certified for a password.

    :param password: secret.
    :returns: what is to be kept. Its address is spelled as the provider spells it.
    :raises CredentialError: the provider refuses, takes no passwords, or gives something else
        than the certificate asked for.
    :raises DiscoveryError: the provider cannot be reached, or its answer makes no sense.
    """
    return application.certified(
        {
            "email": application.identity,
            "password": password,
            "public-key": application.key.public_key.to_json(),
        }
    )
