"""Hostile requests to the embedded API server: broken HTTP, spoiled objects, odd paths.

Holds: values (what stands in a body), requests (well-formed HTTP with bad contents), broken (bytes
that are no HTTP, and callers that are too slow), server (the process under fire and its limits).
"""
