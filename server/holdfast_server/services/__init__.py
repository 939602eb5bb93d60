"""Use cases: plain functions over a transaction."""
