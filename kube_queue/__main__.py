"""`python -m kube_queue` is the command `kube-queue`."""

from kube_queue.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
