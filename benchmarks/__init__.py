"""Programs that measure: each prints a table, and JSON with --json. See docs/performance.md."""
