"""Acceptors' X.509 certificates: trust, names and files."""
