"""What the web services share: TLS, connections and their limits, bodies of requests, refusals.

The identity provider and the verifier are served with it.
"""
