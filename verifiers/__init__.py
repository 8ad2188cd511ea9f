"""Restore and verify backups. Imports nothing of guardian or evidence."""
