"""Which servers have a domain's mail, and which of them let people log in with an identity."""
