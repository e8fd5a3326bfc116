"""The resident service that accepts logins for other programs (docs/acceptor.md).

A parent process binds the sockets and keeps a few workers; each worker speaks the protocol of
Dovecot's authentication clients with any number of programs, in one thread.
"""
