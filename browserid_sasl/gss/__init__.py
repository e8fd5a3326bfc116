"""Security contexts of the BROWSERID mechanisms (PROTOCOL.md sections 3 to 5, RFC 2743)."""
