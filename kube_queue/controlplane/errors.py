"""What can stand between a machine and a running Kubernetes.

ControlPlaneError          one sentence: what is missing or broken, and what to do
├── GoMissing              no Go tool, or only one that is too old
├── BuildFailed            the module could not be fetched, or it did not compile
├── DaemonEnded            a program that the cluster cannot live without has ended
├── NotReady               a program runs, but does not do its work in time
├── NotInstalled           a package of the system is missing and cannot be installed
└── Refused                the API server did not take a request
"""


class ControlPlaneError(Exception):
    """The cluster cannot be had; the text is one sentence for the person at the terminal."""


class GoMissing(ControlPlaneError):
    """No Go tool of a sufficient version was found."""


class BuildFailed(ControlPlaneError):
    """Go ran and did not deliver the program."""


class DaemonEnded(ControlPlaneError):
    """A vital program has ended; the sentence holds its last words and names its log."""


class NotReady(ControlPlaneError):
    """Something did not become true in time; the sentence names it and the log to read."""


class NotInstalled(ControlPlaneError):
    """A package of the operating system is missing; the sentence names it."""


class Refused(ControlPlaneError):
    """The API server answered a request of ours with an error."""
