"""The nerve between jobs and their units: what is seen is planned, what is planned is written.

Holds: JobSide (informers, workqueue, reconciler of every enabled kind).
May import: kube, jobframework, config, observability, api.
Never: a rule about jobs. What a job means and what follows is jobframework's; nothing here knows a
    kind, and nothing is remembered that a restart could not do without.
"""

from kube_queue.controller.jobs.job_side import JobSide

__all__ = ["JobSide"]
