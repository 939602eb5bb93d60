"""The gRPC side: parse, call, convert; errors become statuses in one place."""
