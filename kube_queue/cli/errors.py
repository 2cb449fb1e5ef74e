"""One sentence for every expected failure, and its exit code.

| code | meaning |
|---|---|
| 0 | done |
| 1 | the cluster said no: not found, refused, or a part of it failed |
| 2 | the command line, a file or a setting is wrong |
| 3 | the cluster cannot be reached |
| 130 | interrupted |
"""

from __future__ import annotations

import sys
from collections.abc import Callable

REFUSED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130


class Stop(Exception):
    """The verb ends here with a sentence on stderr and this exit code."""

    def __init__(self, sentence: str, code: int = REFUSED) -> None:
        super().__init__(sentence)
        self.code = code


def run(verb: Callable[[], object]) -> int:
    """Run the verb and answer its exit code; every expected failure is one sentence on stderr."""
    from kube_queue.api.errors import ApiError, ConnectionLost, InvalidInput

    try:
        verb()
    except Stop as stop:
        return _say(str(stop), stop.code)
    except InvalidInput as wrong:
        return _say(str(wrong), USAGE)
    except ApiError as refused:
        return _say(f"the API server answered: {refused}", REFUSED)
    except ConnectionLost as lost:
        return _say(
            f"cannot reach the cluster: {lost}; check KUBECONFIG, or start one with "
            "`kube-queue local up`",
            UNREACHABLE,
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) went away: nothing left to say.
        sys.stderr.close()
        return 0
    return 0


def _say(sentence: str, code: int) -> int:
    print(f"Error: {sentence}", file=sys.stderr)
    return code
