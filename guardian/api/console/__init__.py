"""The console: the evidence as pages for people who would rather look than read."""
