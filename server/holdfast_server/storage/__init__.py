"""Implementations of the services' ports."""
