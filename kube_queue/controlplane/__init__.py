"""A genuine Kubernetes on this machine, from its published Go modules.

Holds: where a Go tool is found, the table of programs, how each is built, the cache of binaries;
the cluster made of them: processes, tokens, what simulated kubelets and Kubeflow's operator need.
May import: nothing of ours; the standard library, aiohttp, platformdirs, PyYAML.
Never: decides anything about jobs or quotas; downloads ready-made binaries; listens elsewhere than
on this machine.
"""
