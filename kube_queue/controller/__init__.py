"""Nerves: they connect what is seen to what is decided to what is written.

Holds: feeder (informer events to cache), effects (decisions to writes), records (what an informer
    keeps of an object), queueing and jobs, which know nothing of each other.
May import: cache, kube, admission, jobframework, config, observability, api.
Never: a policy. What is admitted is decided in admission; what a job means, in jobframework.
"""
