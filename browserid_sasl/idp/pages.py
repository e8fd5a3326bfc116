"""The two pages that a support document has to name."""

from __future__ import annotations

from html import escape
from typing import Final

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} &ndash; {domain}</title>
</head>
<body>
<h1>{title}</h1>
<p>This is the identity provider of <strong>{domain}</strong>.</p>
<p>Sign in from a shell on the machine whose programs are to log in as you:</p>
<pre>browserid login you@{domain}</pre>
<p>Your password goes to this server only. The key that is made stays on your machine.</p>
</body>
</html>
"""


def sign_in_page(title: str, domain: str) -> str:
    """A page that says how to sign in, as HTML without scripts and styles."""
    return _PAGE.format(title=escape(title), domain=escape(domain))
