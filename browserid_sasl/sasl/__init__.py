"""The SASL mechanisms (PROTOCOL.md section 6, RFC 4422, RFC 5801)."""
