"""The scenarios, one file a subject; each function is one scenario."""
