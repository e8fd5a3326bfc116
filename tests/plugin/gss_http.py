"""A web server that asks for Negotiate and says who came; it runs on Debian's python3-gssapi.

Its argument is the port.
"""

from __future__ import annotations

import base64
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import gssapi

NEGOTIATE = "Negotiate "


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        if not given.startswith(NEGOTIATE):
            self.answer(401, NEGOTIATE.strip(), b"")
            return
        credentials = gssapi.Credentials(usage="accept")
        context = gssapi.SecurityContext(creds=credentials, usage="accept")
        token = context.step(base64.b64decode(given.removeprefix(NEGOTIATE))) or b""
        said = NEGOTIATE + base64.b64encode(token).decode()
        self.answer(200, said, f"{context.initiator_name}\n".encode())

    def answer(self, status: int, challenge: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
