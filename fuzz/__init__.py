"""Arbitrary octets for everything that reads what somebody else has written.

`targets` lists what reads, and inputs that it takes. `make fuzz` runs each target on mutations that
atheris finds by watching which code they reach; the tests run each on some hundreds that are the
same every time. Whatever comes, only this package's errors may leave.
"""
