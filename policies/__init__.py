"""The bundled controls: Rego sources, their parameters and the compiled bundle, as package data."""
