"""The command line: flags, weight and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kube_queue.cli.get import Watched
from kube_queue.cli.tables import columns, duration
from kube_queue.config import switches
from tests.cli.conftest import typed

HEAVY = {"rich", "aiohttp", "pydantic", "numpy", "structlog"}
NOWHERE = (
    "{clusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}],"
    " contexts: [{name: a, context: {cluster: a}}], current-context: a}"
)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBECONFIG is of a cluster that is not there, and the window is wide."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(NOWHERE)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What the command says in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "kube_queue", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_loads_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys, json\n"
        "from kube_queue.cli.main import main\n"
        "for verb in sys.argv[1:]:\n"
        "    sys.argv = ['kube-queue', *verb.split(), '--help']\n"
        "    try:\n        main()\n    except SystemExit:\n        pass\n"
        "    loaded = sorted({name.split('.')[0] for name in sys.modules})\n"
        "    print(json.dumps([verb, loaded]), file=sys.stderr)\n"
    )
    verbs = ["", "get", "local up", "controller", "scheduler", "explain", "submit", "hold", "stop"]
    done = subprocess.run(
        [sys.executable, "-c", code, *verbs], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.count("Usage: kube-queue") == len(verbs)
    loaded = dict(json.loads(line) for line in done.stderr.splitlines())
    assert {verb: HEAVY & set(loaded[verb]) for verb in verbs} == {verb: set() for verb in verbs}


@pytest.mark.parametrize("verbs", [[], ["local"]])
def test_what_a_verb_does_is_said_whole_in_a_narrow_window(
    verbs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = typed([*verbs, "--help"])
    assert code == 0
    assert "Usage: kube-queue" in out
    assert "..." not in out.replace("ARGS]...", "")


def test_every_setting_with_a_flag_can_be_given_on_the_command_line() -> None:
    roles = ("controller", "job-extensions", "scheduler")
    offered = "".join(typed([role, "--help"])[1] for role in roles)
    missing = [one.flag for one in switches() if one.flag and one.flag not in offered]
    assert missing == []


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["controller", "--oversellrate", "lots"], {}, "--oversellrate"),
        (["controller"], {"QueueGroupPlugin": "quotas"}, "elasticquota"),
        (["controller", "--config", "/nonexistent.yaml"], {}, "/nonexistent.yaml"),
        (["job-extensions", "--enabled-extensions", "tfjobb"], {}, "tfjob"),
        (["scheduler", "--score-strategy", "Best"], {}, "LeastAllocated"),
        (["scheduler", "--scheduler-names", " , "], {}, "--scheduler-names"),
        (["controller"], {"StrictPriority": "maybe"}, "use true or false"),
        (["local", "up", "--profile", "huge"], {}, "default"),
        (["local", "up", "--enabled-extensions", "tfjobb"], {}, "tfjob"),
        (["local", "up", "--kubeconfig", "/"], {}, "/ cannot be written: Is a directory"),
        (["local", "up", "--kubeconfig", "/dev/null/kubeconfig"], {}, "cannot be written: Not a"),
        (["local", "up", "--control-plane", "k3s"], {}, "embedded or kubernetes"),
        (["local", "up", "--data-dir", "/dev/null/d"], {}, "/dev/null/d cannot be used: Not a"),
        (
            ["local", "up", "--control-plane", "kubernetes", "--data-dir", "d"],
            {},
            "--data-dir is for the embedded control plane only",
        ),
        (
            ["local", "up", "--control-plane", "kubernetes", "--late", "1"],
            {},
            "--late is for the embedded control plane only",
        ),
        (["local", "build", "vim"], {}, "kube-apiserver"),
        (["get", "pods"], {}, "units, queues or quotas"),
        (["get", "units", "-o", "xml"], {}, "use wide, yaml or json"),
        (["explain", "job1", "-o", "wide"], {}, "use yaml or json"),
        (["submit", "-f", "/nonexistent.yaml"], {}, "/nonexistent.yaml: cannot be read"),
        (["submit"], {}, "--filename"),
        (["move", "job1"], {}, "--queue"),
        (["priority", "job1", "high"], {}, "high"),
        (["priority", "job1", "--high"], {}, "--high"),
        (["explain", ""], {}, "JOB: '' is no name; write NAME or KIND/NAME"),
        (["explain", "team-a/Job/train"], {}, "write NAME or KIND/NAME"),
        (["hold", "/train"], {}, "write NAME or KIND/NAME"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    environment: dict[str, str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, _, err = typed(arguments)
    assert code == 2, err
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["controller", "--oversellrate", "lots"], 2),
        (["submit"], 2),
        (["get", "units"], 3),
    ],
)
def test_the_process_ends_with_the_sentence_and_its_code(arguments: list[str], code: int) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == typed(arguments)[2]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "verb",
    [
        ["get", "units"],
        ["get", "units", "-w"],
        ["explain", "job1"],
        ["hold", "job1"],
        ["move", "job1", "--queue", "q"],
        ["stop", "q", "--drain"],
    ],
)
def test_a_cluster_that_cannot_be_reached_is_one_sentence_and_exit_code_3(
    verb: list[str], tmp_path: Path
) -> None:
    code, out, err = typed([*verb, "--kubeconfig", str(tmp_path / "kubeconfig")])
    assert (code, out) == (3, ""), err
    assert "cannot reach the cluster" in err


def test_local_up_warns_of_settings_that_may_not_do_what_one_expects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("StrictPriority", "StrictConsistency"):
        monkeypatch.setenv(name, "true")
    said = typed(["local", "up", "--profile", "huge"])[2]
    assert said.startswith("Warning: StrictPriority and StrictConsistency are both true")


def test_the_version_is_printed() -> None:
    assert typed(["version"])[1].startswith("kube-queue ")


def test_completion_scripts_are_printed() -> None:
    shown = run("--show-completion", "bash").stdout
    assert "_KUBE_QUEUE_COMPLETE" in shown or "complete" in shown


def test_a_table_has_three_spaces_between_columns_and_no_trailing_blanks() -> None:
    table = columns(["NAME", "STATE", "AGE"], [["job1", "Running", "3s"], ["long-name", "", "12s"]])
    assert table.splitlines() == [
        "NAME        STATE     AGE",
        "job1        Running   3s",
        "long-name             12s",
    ]


def test_a_watch_prints_only_rows_that_changed_in_the_columns_of_the_first_table() -> None:
    table = Watched()
    header = ("NAME", "PHASE", "WAIT")
    first = table.lines(header, [("a-long-name", "Enqueued", "1s"), ("b", "Running", "-")])
    assert first == [
        "NAME          PHASE      WAIT",
        "a-long-name   Enqueued   1s",
        "b             Running    -",
    ]
    assert table.lines(header, [("a-long-name", "Enqueued", "2s"), ("b", "Running", "-")]) == []
    later = table.lines(header, [("a-long-name", "Enqueued", "3s"), ("b", "Succeed", "-")])
    assert later == ["b             Succeed    -"]
    assert Watched().lines(header, []) == ["NAME   PHASE   WAIT"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (130, "2m10s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 300, "3h5m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (53 * 3600, "2d5h"),
        (30 * 86400, "30d"),
    ],
)
def test_ages_read_as_kubectl_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
