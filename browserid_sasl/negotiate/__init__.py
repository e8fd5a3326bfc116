"""HTTP ``Negotiate`` (RFC 4559) with this package's mechanisms, without a GSS-API library.

`browserid_sasl.negotiate.client` has the authentication for the package `requests`, which the extra
`http` brings; `browserid_sasl.negotiate.wsgi` the server's side for any WSGI application. Both bind
the login to the TLS server's certificate (RFC 5929), and each request is a login.
"""
