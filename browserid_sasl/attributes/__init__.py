"""What is known of an initiator besides the address: claims and SAML, as name attributes."""
