"""TLS of the server: its files are checked before they are used, and read anew when they change."""


class TlsFileError(Exception):
    """A file cannot be used for TLS; the message names it, what is wrong, and the way out."""
