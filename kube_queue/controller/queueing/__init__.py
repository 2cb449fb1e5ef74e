"""The queue side: who waits, who is admitted, and what everybody can see of it.

Holds: the admission loop, the tree in force, automatic Queues, status of tree and Queues, the
    waiting reasons. queue_side.py puts them together.
May import: controller.feeder, controller.effects, controller.records, cache, kube, admission,
    config, observability, api.
Never: what a job is, or a decision about quota.
"""
