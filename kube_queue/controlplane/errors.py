"""What can stand between a machine and a built Kubernetes program.

ControlPlaneError          one sentence: what is missing or broken, and what to do
├── GoMissing              no Go tool, or only one that is too old
└── BuildFailed            the module could not be fetched, or it did not compile
"""


class ControlPlaneError(Exception):
    """A program cannot be had; the text is one sentence for the person at the terminal."""


class GoMissing(ControlPlaneError):
    """No Go tool of a sufficient version was found."""


class BuildFailed(ControlPlaneError):
    """Go ran and did not deliver the program."""
