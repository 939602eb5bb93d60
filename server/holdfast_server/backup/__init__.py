"""Backups of a data directory and its blocks: made beside running servers, verified, and brought back.

They work on the data directory itself, not through a server, so that they also work when none starts.
"""
