"""Signed, append-only records that a stranger can verify. Imports nothing of guardian or verifiers."""
