"""Back ends: each starts a cluster with kube-queue in it, fresh for a scenario."""
