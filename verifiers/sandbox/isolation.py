"""Isolation as others use it: choose a provider, and prove it by trying to break out. Re-exports only."""

from __future__ import annotations

from verifiers.sandbox.prove import holds, prove
from verifiers.sandbox.providers import PROVIDERS, Provider, View, provider

__all__ = ["PROVIDERS", "Provider", "View", "holds", "prove", "provider"]
