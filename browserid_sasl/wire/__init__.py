"""What the acceptor and the agent have in common on their sockets: lines, fields and peers."""
