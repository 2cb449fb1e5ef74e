"""The genuine Kubernetes programs, built from their published Go modules.

Holds: where a Go tool is found, the table of programs, how each is built, the cache of
binaries.
May import: nothing of ours; the standard library and platformdirs.
Never: decides anything about jobs or quotas; downloads ready-made binaries.
"""
