"""What a running process answers over HTTP: how it is, and what the queue knows.

Holds: ops (/metrics, /healthz, /readyz), visibility (JSON under /visibility/v1).
May import: controller, cache, admission, config, observability, api.
Never: asks the API server, or changes anything. Every answer comes from memory, at once.
"""
