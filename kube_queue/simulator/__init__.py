"""A cluster's machinery, played: nodes, kubelets, a plain default scheduler, job operators.

Holds: named sets of nodes, how long a pod runs, the kubelet, the scheduler, the controllers of
Jobs, ReplicaSets and Deployments (what they decide is pure: replica_set, deployment_plan), the
operators of Kubeflow's kinds, RayJobs, SparkApplications and Workflows (each a pure plan that one
loop carries out; operators lists them), and the composition of them all.
May import: api, kube.
Never: anything but the Kubernetes API, so it plays on a real API server as well; the queue's rules.

Everything is level-based: what a controller needs to know stands in the objects, so each may be
killed at any moment and goes on where it was. Run times count from a pod's status.startTime.
"""
