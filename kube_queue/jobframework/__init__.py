"""What every kind of job has in common, and what one must say to be queued.

Holds: the JobExtension protocol, the view of a job, the plan (job and unit in, decisions out), the
registry of extensions and the checks an extension must pass.
May import: api.
Never: talks to a cluster, reads a clock, keeps state between two calls.

Read in this order: extension (what a kind says), view (what is true of one job), plan (the truth
table), decisions (what comes out), unit_manifest and unit_status (what is written).
"""

from kube_queue.jobframework.decisions import Decision
from kube_queue.jobframework.extension import (
    Endless,
    Grouped,
    HeldAtFirst,
    Hold,
    JobExtension,
    JobPatch,
    JobState,
    MadeFromTemplates,
    Outcome,
    PodSet,
    Replaced,
    Selective,
    ShowsQueuing,
    SometimesEvictable,
    Stoppable,
    Suspendable,
    Versioned,
    Warns,
    evictable,
)
from kube_queue.jobframework.holding import held_from_creation, held_in_template
from kube_queue.jobframework.plan import Scene, plan
from kube_queue.jobframework.registry import every_extension, load_extensions
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue.jobframework.unit_view import UnitView, view_unit
from kube_queue.jobframework.view import JobView, view_job

__all__ = [
    "Decision",
    "Endless",
    "Grouped",
    "HeldAtFirst",
    "Hold",
    "JobExtension",
    "JobPatch",
    "JobState",
    "JobView",
    "MadeFromTemplates",
    "Outcome",
    "PodSet",
    "Replaced",
    "Scene",
    "Selective",
    "ShowsQueuing",
    "SometimesEvictable",
    "Stoppable",
    "Surroundings",
    "Suspendable",
    "UnitView",
    "Versioned",
    "Warns",
    "every_extension",
    "evictable",
    "held_from_creation",
    "held_in_template",
    "load_extensions",
    "plan",
    "view_job",
    "view_unit",
]
