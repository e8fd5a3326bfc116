"""The commands, and what they share: options, passwords, tables, exit statuses."""
