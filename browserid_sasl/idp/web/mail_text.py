"""The mail with which somebody signs in to a fallback provider.

Nothing in it is a stranger's words: an address, which whoever gets it knows, a code, a link and
sentences of ours. So nobody can send people theirs by asking for a mail.
"""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from typing import Final
from urllib.parse import urlsplit

from browserid_sasl.idp.web.languages import N_, Language

_SUBJECT: Final = N_("Sign in at %(host)s")
_TEXT: Final = N_(
    "Somebody, you we hope, wants to sign in at %(origin)s as %(email)s.\n"
    "\n"
    "Type this code on the page that has asked for it:\n"
    "\n"
    "    %(code)s\n"
    "\n"
    "or open this link, which asks once more before anything happens:\n"
    "\n"
    "%(link)s\n"
    "\n"
    "Both are good for 15 minutes, and once. Give the code to nobody, and type it on no\n"
    "other page. If it was not you, you need do nothing. If you want no more of these mails,\n"
    "open the link and say so there.\n"
)


def compose(
    language: Language, sender: str, email: str, origin: str, code: str, link: str
) -> EmailMessage:
    """The mail.

    :param language: of the page that has asked for it.
    :param sender: whom it is from.
    :param email: whom it is for.
    :param origin: of the provider's pages.
    :param code: digits.
    :param link: in the origin.
    """
    host = urlsplit(origin).hostname or ""
    half = len(code) // 2
    given = {
        "host": host,
        "origin": origin,
        "email": email,
        "code": f"{code[:half]} {code[half:]}",
        "link": link,
    }
    message = EmailMessage(SMTP)
    message["From"] = Address(host, addr_spec=sender)
    message["To"] = Address(addr_spec=email)
    message["Subject"] = language.gettext(_SUBJECT) % given
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    # RFC 3834: programs that answer for somebody do not answer this.
    message["Auto-Submitted"] = "auto-generated"
    text = language.gettext(_TEXT) % given
    # As it is where it can be: a link is longer than the lines of other encodings.
    message.set_content(text, cte="7bit" if text.isascii() else "quoted-printable")
    message["Content-Language"] = language.code
    return message
