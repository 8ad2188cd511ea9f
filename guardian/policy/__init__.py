"""Rego policies judged by an engine: bundle, metadata, engines, evaluation."""
