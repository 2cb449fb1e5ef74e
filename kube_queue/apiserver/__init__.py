"""The embedded, Kubernetes-compatible API server.

Holds: the store, the handler behind every path, validation of built-in and custom kinds, the
    HTTP front, and what kubectl asks a server for (discovery, OpenAPI, tables).
May import: the standard library (journal.py alone sqlite3, commits.py alone a thread), orjson,
    jsonschema-rs; http.py and guard.py alone aiohttp, http.py multidict, applying.py yaml.
Never: another room of ours; a bug in our client must not hide behind the same bug here. Never the
    wall clock or global chance: both come in through the door of ApiServer.

A request's way: http.py or an in-process caller -> core.ApiServer.handle -> routes.parse ->
reading, creating, changing, applying (which sends plain patches on to changing), deleting or
subresources -> (writes) schema.settle, judging.check_types, the kind's rules, judging.judge ->
store.Store -> watch streams, and soon after garbage, lifecycle and crds, which follow every change.
With a journal, commits keeps answers and watch events back until what they tell of is on disk.
"""
