"""The kinds of jobs that are queued out of the box, each one file of pure functions.

Holds: one extension a kind, registered in pyproject.toml like a third party's.
May import: kube_queue.api, kube_queue.jobframework.
Never: talks to a cluster, reads a clock, keeps state.
"""
