"""The server as one object: `await ApiServer(clock=..., rng=...).handle(request)`.

Holds: ApiServer; re-exports Request and Response.
"""

from kube_queue.apiserver.messages import Request, Response

__all__ = ["Request", "Response"]
