"""One file per command: what the command line, the daemon and the API drive."""
