"""What single kinds demand beyond their schema.

Holds: Rules (what holds for a kind without any), and one file for each kind or family with its
    own: defaults at creation, fields that do not change, admission.
May import: kinds, meta, patches, schema, status, store, structural, table, validation, world.
Never: a rule of the queue; these are Kubernetes' own.
"""

from kube_queue.apiserver.rules.base import Rules
from kube_queue.apiserver.rules.registry import rules_of

__all__ = ["Rules", "rules_of"]
