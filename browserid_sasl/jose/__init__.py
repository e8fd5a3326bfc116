"""Keys, signature algorithms and JSON web tokens (PROTOCOL.md sections 1.1 and 1.2, RFC 7515)."""
