"""Pure conversions between domain values and messages, in pairs."""
