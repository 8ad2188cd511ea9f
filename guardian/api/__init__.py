"""The evidence API and its console: transport, access and pages; what they say comes from the use cases."""
