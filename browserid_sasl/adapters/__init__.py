"""Logins for Python's mail and LDAP libraries, each in one line.

    from browserid_sasl import Client
    from browserid_sasl.adapters import imaplib_login

    imaplib_login(connection, Client(service="imap", hostname="mail.example.org"))

All work alike. They choose from what the server lists and bind the login to the connection's TLS,
which `browserid_sasl.adapters.channel` describes. They return the `Result`, and raise a
`BrowserIDError` when it comes to none: the server's reason if it told one, with its words. What
is raised when the connection fails is the library's own.

`ldap3` and `aiosmtplib` are needed only by those that use them: the extra `adapters` brings both.
"""

from __future__ import annotations

from browserid_sasl.adapters.imap import imaplib_login
from browserid_sasl.adapters.ldap import ldap3_login
from browserid_sasl.adapters.pop import poplib_login
from browserid_sasl.adapters.smtp import aiosmtplib_login, smtplib_login

__all__ = ["aiosmtplib_login", "imaplib_login", "ldap3_login", "poplib_login", "smtplib_login"]
