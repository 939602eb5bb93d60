"""One module for each peer: a class ``Client`` with ``upload`` and ``download``, run in a process of its own."""
