"""How settings come about from flags, environment, file and defaults."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from kube_queue.api.errors import InvalidSetting
from kube_queue.api.queues import Policy
from kube_queue.config import InvalidSettings, Settings, load_settings, switches
from kube_queue.config.settings import QuotaSystem


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return path


def test_nothing_given_means_the_documented_defaults() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert settings.controller.default_policy is Policy.ROUND
    assert settings.controller.oversell_rate == 1.0
    assert settings.jobs.enabled_extensions == "tfjob,pytorchjob"
    assert settings.client.qps == 0
    assert settings.serving.port == 10259
    assert (settings.leader.lease_seconds, settings.leader.renew_seconds) == (15, 10)
    assert settings.leader.retry_seconds == 2
    assert settings.leader.controller_lease == "kube-queue-controller"


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "controller: {strict_priority: true, oversell_rate: 3, cycle_limit: 7}")
    settings = load_settings(path, {"StrictPriority": "false"}, {"--oversellrate": "2.5"})
    assert settings.controller.strict_priority is False
    assert settings.controller.oversell_rate == 2.5
    assert settings.controller.cycle_limit == 7
    both = load_settings(None, {"StrictPriority": "true"}, {"strict_priority": False})
    assert both.controller.strict_priority is False


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert load_settings(None, {}, {"oversellrate": None}) == Settings()


def test_an_empty_variable_counts_as_not_given() -> None:
    assert load_settings(None, {"StrictPriority": "", "QueueGroupPlugin": ""}) == Settings()


@pytest.mark.parametrize(
    ("env", "policy"),
    [
        ({"StrictPriority": "true"}, Policy.BLOCK),
        ({"StrictPriority": "True"}, Policy.BLOCK),
        ({"StrictConsistency": "true"}, Policy.PRIORITY),
        ({"StrictPriority": "false", "StrictConsistency": "false"}, Policy.ROUND),
    ],
)
def test_the_environment_chooses_the_default_policy(env: dict[str, str], policy: Policy) -> None:
    settings = load_settings(None, env)
    assert settings.controller.default_policy is policy
    assert settings.warnings() == ()


def test_both_strict_variables_mean_block_and_one_warning() -> None:
    settings = load_settings(None, {"StrictPriority": "true", "StrictConsistency": "true"})
    assert settings.controller.default_policy is Policy.BLOCK
    (warning,) = settings.warnings()
    assert "StrictPriority and StrictConsistency" in warning and "Block" in warning


@pytest.mark.parametrize("owner", ["auto", "queue", "scheduler"])
def test_flag_and_variable_choose_the_owner_of_the_trees_status(owner: str) -> None:
    by_flag = load_settings(None, {"QuotaStatusOwner": "queue"}, {"--quota-status-owner": owner})
    by_variable = load_settings(None, {"QuotaStatusOwner": owner.capitalize()})
    for settings in (by_flag, by_variable):
        assert settings.controller.quota_status_owner == owner
    assert load_settings().controller.quota_status_owner == "auto"


def test_burst_without_qps_is_warned_about() -> None:
    (warning,) = load_settings(None, {}, {"burst": "5"}).warnings()
    assert warning == "--burst has no effect without --qps."


@pytest.mark.parametrize("value", ["elasticquota", "ElasticQuota", "ELASTICQUOTA"])
def test_queue_group_plugin_is_read_in_any_case(value: str) -> None:
    assert load_settings(None, {"QueueGroupPlugin": value}) == Settings()


@pytest.mark.parametrize("value", ["resourcequota", "ResourceQuota", "RESOURCEQUOTA"])
def test_resource_quotas_are_chosen_in_any_case(value: str) -> None:
    settings = load_settings(None, {"QueueGroupPlugin": value})
    assert settings.controller.queue_group_plugin is QuotaSystem.RESOURCE_QUOTA


def test_an_unknown_queue_group_plugin_is_refused_with_the_legal_values() -> None:
    with pytest.raises(InvalidSetting) as caught:
        load_settings(None, {"QueueGroupPlugin": "quotas"})
    said = str(caught.value)
    assert "QueueGroupPlugin" in said and "'quotas'" in said
    assert "elasticquota, resourcequota" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("controler: {}", "controler"),
        ("controller: {strict: true}", "controller.strict"),
        ("leader: {lease_seconds: {a: 1}}", "leader.lease_seconds"),
        ("serving: [1]", "serving"),
    ],
)
def test_what_the_tree_does_not_know_is_refused_with_its_path(
    tmp_path: Path, text: str, path: str
) -> None:
    with pytest.raises(InvalidSetting) as caught:
        load_settings(write(tmp_path, text))
    assert path in str(caught.value).split()[0]


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="--oversell"):
        load_settings(None, {}, {"--oversell": "2"})


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "much"])
def test_an_oversell_rate_that_is_no_number_from_0_up_is_refused(value: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        load_settings(None, {}, {"--oversellrate": value})
    assert str(caught.value).startswith("--oversellrate")
    assert value in str(caught.value)


def test_all_violations_are_said_at_once_one_sentence_each(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "writes: {max_in_flight: 0}\nserving: {port: 70000, prot: 1}\nextra: 1\n",
    )
    with pytest.raises(InvalidSettings) as caught:
        load_settings(
            path,
            {"StrictPriority": "maybe", "QueueGroupPlugin": "quotas"},
            {"--tree-validation": "lax"},
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.violations) == 7
    for start in (
        "writes.max_in_flight",
        "serving.port",
        "serving.prot",
        "extra",
        "StrictPriority",
        "QueueGroupPlugin",
        "--tree-validation",
    ):
        assert sum(line.startswith(start) for line in lines) == 1, (start, lines)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("controller: {strict_priority: perhaps}", "is 'perhaps'; use true or false"),
        ("leader: {namespace: ''}", "leader.namespace: is empty; name one"),
        ("1: 2", "1: is not a known setting; use one of controller, "),
        ("serving: {port: x}", "serving.port: is 'x'; use a valid integer"),
    ],
)
def test_what_to_write_instead_is_said_in_plain_words(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(InvalidSetting) as caught:
        load_settings(write(tmp_path, text))
    assert sentence in str(caught.value)


def test_lease_times_must_stand_in_order() -> None:
    with pytest.raises(InvalidSetting, match=r"leader\.lease_seconds"):
        load_settings(None, {}, {"--leader-elect-renew-deadline": "20"})


@pytest.mark.parametrize("text", ["a: [", "- 1", "just words", "\ta: 1"])
def test_a_file_that_is_no_mapping_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        load_settings(write(tmp_path, text))
    assert "settings.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"nowhere\.yaml"):
        load_settings(tmp_path / "nowhere.yaml")


def test_an_empty_file_and_empty_groups_mean_defaults(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "")) == Settings()
    assert load_settings(write(tmp_path, "controller:\nleader:\n")) == Settings()


def test_settings_cannot_be_changed_but_copied_with_changes() -> None:
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.controller.cycle_limit = 1
    changed = settings.replaced(controller={"cycle_limit": 1})
    assert changed.controller.cycle_limit == 1
    assert settings.controller.cycle_limit == 200


def test_every_setting_is_documented_and_flags_and_variables_are_unique() -> None:
    known = switches()
    assert [switch.path for switch in known if not switch.doc.endswith(".")] == []
    for names in ([s.flag for s in known if s.flag], [s.env for s in known if s.env]):
        assert len(names) == len(set(names))
    assert {s.env for s in known if s.env} == {
        "QueueGroupPlugin",
        "StrictPriority",
        "StrictConsistency",
        "QuotaStatusOwner",
    }


def test_the_environment_counts_only_when_it_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("StrictPriority", "true")
    monkeypatch.setenv("QueueGroupPlugin", "nonsense")
    for name in [name for name in sys.modules if name.startswith("kube_queue.config")]:
        monkeypatch.delitem(sys.modules, name)
    fresh = importlib.import_module("kube_queue.config")
    assert fresh.load_settings().model_dump() == Settings().model_dump()


@pytest.mark.parametrize("value", ["LowerPriority", "lowerpriority", "LOWERPRIORITY"])
def test_a_word_with_capitals_in_it_is_read_in_any_case(value: str) -> None:
    settings = load_settings(flags={"--reclaim-policy": value})
    assert settings.controller.reclaim_policy == "LowerPriority"


@pytest.mark.parametrize("flag", ["--job-selector", "--namespace-selector"])
def test_a_selector_that_kubectl_would_refuse_is_refused_by_its_flag(flag: str) -> None:
    with pytest.raises(InvalidSetting, match="kubectl -l") as refused:
        load_settings(flags={flag: "a in b"})
    assert str(refused.value).startswith(flag)
    assert load_settings(flags={flag: "a in (b), !c"}).jobs
