"""Which backup of which asset, and the run from backup to drill result."""
