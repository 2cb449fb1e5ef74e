"""Options that several verbs have."""

from __future__ import annotations

from typing import Annotated

import typer

Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", help="Kubeconfig file; default: KUBECONFIG.")
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace; default: the context's.")
]
Job = Annotated[str, typer.Argument(help="NAME of a job or unit, or KIND/NAME", metavar="JOB")]
QueueName = Annotated[str, typer.Argument(help="Name of a Queue.", metavar="QUEUE")]
