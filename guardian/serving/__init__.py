"""What every server of Guardian shares: bounded connections, certificates read again, children without keys."""
