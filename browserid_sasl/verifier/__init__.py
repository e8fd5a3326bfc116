"""`browserid-verifier`: verifies assertions for web sites, with the interface that Persona's had.

The module `web` serves it, with all its limits, as it does the identity provider.
"""
