"""The conformance suite: the same scenarios for the client of each language, told from outside.

``python -m client.conformance.runner`` in the repository's root, or ``make conformance``.
"""
