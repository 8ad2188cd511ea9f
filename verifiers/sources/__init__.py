"""Backup formats, one file each, behind one protocol."""
