"""Settings of every process: one frozen tree, documented field by field, validated all at once.

Holds: the settings tree, and how flags, environment, file and defaults become one.
May import: api.
Never: reads the environment or a file at import time, logs, or keeps a global settings object.
"""

from kube_queue.config.load import InvalidSettings, load_settings
from kube_queue.config.settings import (
    ClientSettings,
    ControllerSettings,
    JobSettings,
    LeaderSettings,
    LogSettings,
    SchedulerSettings,
    ServingSettings,
    Settings,
    WriteSettings,
)
from kube_queue.config.switches import Switch, switches

__all__ = [
    "ClientSettings",
    "ControllerSettings",
    "InvalidSettings",
    "JobSettings",
    "LeaderSettings",
    "LogSettings",
    "SchedulerSettings",
    "ServingSettings",
    "Settings",
    "Switch",
    "WriteSettings",
    "load_settings",
    "switches",
]
