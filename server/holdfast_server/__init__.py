"""The Holdfast server: a gRPC service over SQLite and a store of blocks.

Folders, from the outside in: ``rpc`` parses and converts, ``services`` are the use cases, ``domain`` holds the rules,
``storage`` implements the services' ports, ``app`` puts them together.
"""
