"""Guardian: policy-as-code compliance and backup verification with signed evidence."""

from importlib.metadata import version

__version__ = version("guardian-engine")
