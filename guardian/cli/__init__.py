"""The command line: argument parsing and rendering only, one file per noun."""
