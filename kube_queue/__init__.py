"""kube-queue: a job queue for Kubernetes. The rooms and who may import whom: docs/architecture.md."""
