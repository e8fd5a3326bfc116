"""The person's side: signing in to the identity provider, and assertions for programs.

Keys are made here and stay here (an `IdentityStore`); the provider sees the public half only.
"""
