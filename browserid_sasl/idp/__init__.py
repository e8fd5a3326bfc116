"""An identity provider for a domain: accounts, signing keys, and certificates for people's keys.

PROTOCOL.md section 2. `browserid-idp` (module `commands`) sets it up and runs it. Everything it
knows is in one folder (module `folder`), which only the user it runs as can read.
"""
