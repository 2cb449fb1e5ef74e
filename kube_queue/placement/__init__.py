"""Room placement: the brain of pods.

Holds: the cluster as pods and nodes make it, in integer columns; plug-ins in kube-scheduler's
words; and the decisions which pod goes to which node, a whole gang at a time.
May import: api, numpy.
Never: await, asyncio, time, random, logging, structlog. Facts and events in, decisions out.
"""
