"""Stand-ins for the programs of a cluster: the embedded API server, and others that only live."""

import sys
from pathlib import Path

from tests.controlplane.fake_go import write_program

API_SERVER = """#!{python}
import asyncio, random, sys, time
from pathlib import Path
from kube_queue.apiserver.core import ApiServer, Request
from kube_queue.apiserver.http import serve
from kube_queue.apiserver.tls import self_signed

flags = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
if Path({home!r}, "broken").exists():
    sys.exit("Error: invalid argument")

async def main():
    server = ApiServer(clock=time.time, rng=random.Random(1))
    account = b'{{"apiVersion":"v1","kind":"ServiceAccount","metadata":{{"name":"default"}}}}'
    path = "/api/v1/namespaces/default/serviceaccounts"
    await server.handle(
        Request("POST", path, (), {{"content-type": "application/json"}}, account)
    )
    certificate = self_signed(time.time())
    token = Path(flags["token-auth-file"]).read_text().split(",")[0]
    Path(flags["cert-dir"], "apiserver.crt").write_text(certificate.certificate)
    await serve(server, port=int(flags["secure-port"]), token=token, tls=certificate)
    await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""
LIVES = "#!{python}\nimport sys, time\nprint(sys.argv, flush=True)\ntime.sleep(600)\n"


def fake_binaries(folder: Path) -> dict[str, Path]:
    """Programs by name; a file `broken` in the folder keeps the API server from starting."""
    words = {"python": sys.executable, "home": str(folder)}
    texts = {
        "etcd": LIVES,
        "kube-apiserver": API_SERVER,
        "kube-controller-manager": LIVES,
        "kube-scheduler": LIVES,
    }
    return {
        name: write_program(folder / name, text.format(**words)) for name, text in texts.items()
    }
