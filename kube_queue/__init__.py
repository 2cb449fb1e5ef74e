"""kube-queue: a job queue for Kubernetes. Its rooms are drawn in docs/architecture.md."""
