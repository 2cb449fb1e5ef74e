"""Hands on the Kubernetes API: everything that leaves or enters the process over it.

Holds: transport (bytes to a server), credentials, client (verbs on typed paths), informer,
    workqueue, writes (one scheduler for every write), patches, events, leader, limiter.
May import: api.
Never: a decision. No wall clock and no global chance: clock and random.Random are handed in, and
    waiting goes through the running event loop, so that all of it also runs in virtual time.

Modules are imported one by one: a command that only reads needs client and credentials alone.
"""
