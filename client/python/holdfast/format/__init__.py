"""The rules of the format that client and server share: digests and artifact paths. Standard library only.

``docs/protocol.md`` specifies them for other languages.
"""
