"""Throwaway PostgreSQL servers and folders: isolated, bounded, always torn down."""
