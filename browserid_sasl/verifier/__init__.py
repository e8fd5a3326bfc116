"""`browserid-verifier`: verifies assertions for web sites, with the interface that Persona's had.

Its web server, with all its limits, is the identity provider's.
"""
