"""Measurements of what the software costs, beside what its parts cost bare: `python -m bench`."""
