"""What was in a filestore, and whether it still is after a restore."""
