"""Objects the tests send."""

from typing import Any


def a_pod(name: str = "p", image: str = "busybox", **labels: str) -> dict[str, Any]:
    """A Pod of one container asking for a tenth of a cpu."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "command": ["sleep", "3s"],
                    "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "100m"}},
                }
            ],
            "restartPolicy": "Never",
        },
    }


def a_job(name: str = "pi", **metadata: Any) -> dict[str, Any]:
    """A suspended Job, as the ack-kube-queue documentation shows it."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata or {"name": name},
        "spec": {
            "suspend": True,
            "completions": 1,
            "parallelism": 1,
            "template": {
                "spec": {
                    "schedulerName": "default-scheduler",
                    "containers": [
                        {
                            "name": "pi",
                            "image": "perl:5.34.0",
                            "command": ["sleep", "3s"],
                            "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "100m"}},
                        }
                    ],
                    "restartPolicy": "Never",
                }
            },
        },
    }


def a_widget(name: str = "w", size: int = 3, **spec: Any) -> dict[str, Any]:
    """A custom object."""
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": size, **spec},
    }


def a_config_map(name: str = "c", **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
