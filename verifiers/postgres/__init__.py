"""What was true in a PostgreSQL database, and whether it still is after a restore."""
