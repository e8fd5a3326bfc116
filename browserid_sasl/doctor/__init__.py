"""What `browserid doctor` looks at: each part of a set-up, and what mends it.

A check gives findings, and never fails: what it meets is a finding too. Nothing is changed, made or
started by looking.
"""
