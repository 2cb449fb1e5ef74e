"""The scheduling side of the controller: pods of our scheduler names get their nodes.

Holds: what feeds the placement cache, the loop that asks it for decisions, and what carries them
out: bindings, evictions, conditions, PodGroups.
May import: cache, placement, config, kube, observability, api; controller's shared modules.
Never: decides where a pod goes; knows of the queueing and the jobs side.
"""
