"""The daemon: it claims due slots, runs their jobs in processes of their own, and closes what nobody ran."""
