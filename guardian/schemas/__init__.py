"""JSON Schemas of the shapes that bind."""
