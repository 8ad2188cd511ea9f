"""Alembic's environment and the steps from each version of the tables to the next."""
