"""Generated stubs of the package holdfast.v1; see protos/."""
