"""The person's resident agent: logs in for their programs, and keeps their keys to itself.

What it says is in `protocol` and `session`, what it does in `clients` and `people`, how it runs in
`daemon`. `caller` is the other end, as the person's commands use it.
"""
