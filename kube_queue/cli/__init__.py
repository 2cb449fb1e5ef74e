"""The command line: `kube-queue`, also installed as `kubectl-queue`.

Holds: the verbs, their flags, tables for people and exit codes.
May import: every room below; heavy ones only inside the verb that needs them.
Never: decides anything; `--help` and completion load none of rich, aiohttp, pydantic or structlog.
"""
