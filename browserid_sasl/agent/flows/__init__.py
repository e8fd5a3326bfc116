"""The ways of proving to an identity provider who one is (PROTOCOL.md section 8).

`browser` and `device` are what people use, `password` is for scripts and for providers that have
nothing else, and `renewal` asks nobody. `choice` says which it is.
"""
