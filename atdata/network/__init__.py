"""The only shared I/O: one guarded HTTP client, and identity resolution over it."""
