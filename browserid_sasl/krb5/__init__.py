"""Kerberos cryptography: protection of messages and the pseudo-random function."""
