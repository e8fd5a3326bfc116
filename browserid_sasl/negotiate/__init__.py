"""HTTP ``Negotiate`` (RFC 4559) with this package's mechanisms, without a GSS-API library.

`browserid_sasl.negotiate.client` has the authentication for the package `requests`, which the extra
`http` brings; `wsgi` and `asgi` the server's side for applications. Both bind the login to the TLS
server's certificate (RFC 5929), and each request is a login. `provider` makes contexts for programs
of the package `pyspnego`, which say themselves what they bind to.
"""
