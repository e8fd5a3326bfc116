"""The sample server and client: an exchange over a plain TCP or TLS connection."""
