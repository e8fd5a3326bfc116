"""Mail programs on this machine, which know passwords and nothing else, and the way for them.

They speak plain IMAP, POP3, SMTP and ManageSieve on loopback, with a password that is good for
nothing but that; what is here speaks to the server, over TLS, and logs in with an identity.
"""
