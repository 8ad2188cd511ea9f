"""Findings and drills rendered for people and machines."""
