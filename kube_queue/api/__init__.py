"""Room api: the nouns every other room speaks.

Holds: wire objects (pydantic models) and their hot projections, the life cycle of a unit, exact
quantities and resource vectors, the compiled quota tree, reasons, well-known names, the error tree.
May import: the standard library; pydantic only in the model files (queue_unit, queue,
elastic_quota_tree and wire, their common part), so that a command line starts without it.
Never: asyncio, time, random, logging, structlog, any other room, any mutable state that outlives a
call (bounded caches of parsed text excepted).
"""
