"""Lists, pages, selectors and watches."""

from __future__ import annotations

from e2e.differential.case import (
    METADATA,
    TABLE,
    Case,
    case,
    delete,
    get,
    merge,
    post,
    subject,
    watch,
)
from e2e.differential.objects import config_map, event, pod, secret

THREE = tuple(
    post("configmaps", config_map(name, labels={"l": name, "n": str(number)}))
    for number, name in enumerate("abc", 1)
)
FIRST = "configmaps?resourceVersion=<1.metadata.resourceVersion>"
CAUGHT_UP = "items.2.metadata.name=c"
"""Kubernetes answers this from a cache that may be behind the last write, as asked for."""
EVENTS = "resourceVersionMatch=NotOlderThan&sendInitialEvents=true&allowWatchBookmarks=true"


def _labels(name: str, *selectors: str) -> Case:
    return case(name, *THREE, *(get(f"configmaps?labelSelector={text}") for text in selectors))


def _fields(name: str, *selectors: str) -> Case:
    return case(name, *THREE, *(get(f"configmaps?fieldSelector={text}") for text in selectors))


def _refused(name: str, *queries: str) -> Case:
    return case(name, *(get(f"configmaps?{query}") for query in queries))


LISTS = subject(
    "lists",
    case("of three", *THREE, get("configmaps")),
    case("of none", get("secrets")),
    case("of a missing namespace", get("/api/v1/namespaces/absent/configmaps")),
    case("by name over all namespaces", *THREE,
         get("/api/v1/configmaps?fieldSelector=metadata.namespace={ns}")),
    case("in pages", *THREE, get("configmaps?limit=2"),
         get("configmaps?limit=2&continue=<4.metadata.continue>")),
    case("in pages of one", *THREE, get("configmaps?limit=1"),
         get("configmaps?limit=1&continue=<4.metadata.continue>"),
         get("configmaps?limit=1&continue=<5.metadata.continue>")),
    case("in pages that stay as they were", *THREE, get("configmaps?limit=1"),
         delete("configmaps/b"), post("configmaps", config_map("d")),
         get("configmaps?continue=<4.metadata.continue>")),
    case("in pages by a selector", *THREE, get("configmaps?limit=1&labelSelector=n in (1,3)"),
         get("configmaps?limit=1&labelSelector=n in (1,3)&continue=<4.metadata.continue>")),
    case("a page as large as the rest", *THREE, get("configmaps?limit=3")),
    case("a version and a token", *THREE, get("configmaps?limit=1"),
         get("configmaps?limit=1&resourceVersion=<1.metadata.resourceVersion>"
             "&continue=<4.metadata.continue>")),
    _refused("a bad token", "continue=x", "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ"),
    _refused("a bad limit", "limit=x"),
    _refused("a negative limit", "limit=-1"),
    _refused("a bad version", "resourceVersion=x", "resourceVersion=-1"),
    _refused("a version from the future", "resourceVersion=999999999999"),
    _refused("a match without a version", "resourceVersionMatch=Exact"),
    _refused("an unknown match", "resourceVersion=1&resourceVersionMatch=Roughly"),
    _refused("exactly any version", "resourceVersion=0&resourceVersionMatch=Exact"),
    _refused("a match and a token", "resourceVersion=1&resourceVersionMatch=Exact&continue=x"),
    _refused("initial events", "sendInitialEvents=true"),
    case("exactly a version", *THREE, get(f"{FIRST}&resourceVersionMatch=Exact")),
    case("not older than a version", *THREE, get(f"{FIRST}&resourceVersionMatch=NotOlderThan",
                                                 until=CAUGHT_UP)),
    case("any version", *THREE, get("configmaps?resourceVersion=0", until=CAUGHT_UP,
                                    only="kind apiVersion")),
    case("a page at a version", *THREE, get(f"{FIRST}&limit=5")),
)  # fmt: skip

SELECTORS = subject(
    "selectors",
    _labels("equality", "l=a", "l==a", "l!=a", "l = a"),
    _labels("sets", "l in (a,b)", "l notin (a,b)", "l in ( a , b )", "l in ()", "l in (a,)"),
    _labels("presence", "l", "!l", "z", "!z", "l,!z"),
    _labels("numbers", "n>1", "n<3", "n>1,n<3"),
    _labels("several", "l in (a,b),n!=1", "l=a,l=b"),
    _labels("an empty value", "l=", "z="),
    _labels("spaces", "%20", ",", "l=a,"),
    _labels("broken", "l a", "=a", "l in a", "l in (a", "l=a b"),
    _labels("bad keys and values", "a_/b=c", "l=-", "n>x", "A" * 64),
    _labels("brackets alone", "(a)", "!", "l!", "in", "in in (in)"),
    _fields("names", "metadata.name=a", "metadata.name==a", "metadata.name!=a"),
    _fields("several fields", "metadata.name=a,metadata.namespace={ns}",
             "metadata.name=a,metadata.name=b"),
    _fields("unknown fields", "data.k=v", "metadata.uid=x", "metadata.labels.l=a"),
    _fields("broken fields", "metadata.name", "=a", "metadata.name=a,", "metadata.name>a"),
    case("fields of pods", post("pods", pod("a")), post("pods", pod("b", nodeName="{ns}-n")),
         get("pods?fieldSelector=spec.nodeName={ns}-n"), get("pods?fieldSelector=spec.nodeName="),
         get("pods?fieldSelector=status.phase=Pending"),
             get("pods?fieldSelector=status.phase!=Pending"),
         get("pods?fieldSelector=spec.restartPolicy=Always,spec.schedulerName=default-scheduler"),
         get("pods?fieldSelector=spec.hostname=a")),
    case("fields of secrets", post("secrets", secret()), get("secrets?fieldSelector=type=Opaque"),
         get("secrets?fieldSelector=type=a")),
    case("fields of events", post("events", event(reason="R", type="Normal")),
         get("events?fieldSelector=involvedObject.name=p,involvedObject.kind=Pod"),
         get("events?fieldSelector=reason=R,type!=Warning"),
         get("events?fieldSelector=involvedObject.name=q")),
)  # fmt: skip

WATCHES = subject(
    "watches",
    case("from a version", *THREE, merge("configmaps/b", {"data": {"x": "y"}}),
         delete("configmaps/a"), watch(FIRST, 4)),
    case("live", post("configmaps", config_map("z")), watch(FIRST, 3, THREE[0],
         merge("configmaps/a", {"data": {"x": "y"}}), delete("configmaps/a"))),
    case("of what there is", *THREE,
             watch("configmaps?resourceVersion=0&fieldSelector=metadata.name=a", 1)),
    case("from no version", *THREE, watch("configmaps?timeoutSeconds=1&labelSelector=l=a", 0)),
    case("until its time is over", *THREE, watch(f"{FIRST}&timeoutSeconds=1", 0)),
    case("of one by its name", *THREE,
             watch("configmaps/b?resourceVersion=<1.metadata.resourceVersion>", 1)),
    case("of one by a field", *THREE, watch(f"{FIRST}&fieldSelector=metadata.name=c", 1)),
    case("of labels that change", THREE[0], THREE[1],
         merge("configmaps/b", {"metadata": {"labels": {"l": "x"}}}),
         merge("configmaps/b", {"data": {"x": "y"}}),
         merge("configmaps/b", {"metadata": {"labels": {"l": "b"}}}), delete("configmaps/b"),
         watch(f"{FIRST}&labelSelector=l=b", 4)),
    case("of writes that change nothing", THREE[0], merge("configmaps/a", {"data": {"k": "v"}}),
         post("configmaps", config_map("z")), watch(FIRST, 1)),
    case("of a dry run", THREE[0], post("configmaps?dryRun=All", config_map("y")),
         post("configmaps", config_map("z")), watch(FIRST, 1)),
    case("of finalizers", THREE[0], post("configmaps", config_map("f", finalizers=["a.b/c"])),
         delete("configmaps/f"), merge("configmaps/f", {"metadata": {"finalizers": None}}),
         watch(FIRST, 3)),
    case("of a collection's end", *THREE, delete("configmaps"), watch(FIRST, 5)),
    case("as tables", *THREE, delete("configmaps/c"), watch(FIRST, 3, accept=TABLE)),
    case("as metadata", *THREE, delete("configmaps/c"), watch(FIRST, 3, accept=METADATA)),
    case("initial events", *THREE, watch(f"configmaps?{EVENTS}", 4)),
    case("initial events of none", watch(f"secrets?{EVENTS}", 1)),
    case("initial events as tables", THREE[0], watch(f"configmaps?{EVENTS}", 2, accept=TABLE)),
    case("initial events as metadata", THREE[0], watch(f"configmaps?{EVENTS}", 2, accept=METADATA)),
    case("initial events from a version", *THREE[:2],
         watch(f"configmaps?resourceVersion=<2.metadata.resourceVersion>&{EVENTS}", 3)),
    case("initial events that are not wanted", *THREE[:2], watch(
        f"{FIRST}&{EVENTS}&timeoutSeconds=1".replace("Events=true", "Events=false"), 1)),
    case("initial events without bookmarks", watch(
        "configmaps?resourceVersionMatch=NotOlderThan&sendInitialEvents=true&timeoutSeconds=1", 0)),
    case("initial events without a match", watch("configmaps?sendInitialEvents=true", 1)),
    case("a match without initial events", watch(
        "configmaps?resourceVersion=1&resourceVersionMatch=NotOlderThan", 1)),
    case("from a version of long ago", post("configmaps", config_map()),
         watch("configmaps?resourceVersion=1&timeoutSeconds=1", 0)),
    case("from a version of the future", watch(
        "configmaps?resourceVersion=999999999999&timeoutSeconds=1", 0)),
    case("from a bad version", watch("configmaps?resourceVersion=x", 1)),
    case("by a bad selector", watch("configmaps?labelSelector=a b", 1)),
    case("of a missing kind", watch("/apis/gadgets.example.com/v1/gadgets", 1)),
    case("by the old path", *THREE, get("/api/v1/watch/namespaces/{ns}/configmaps?timeoutSeconds=1"
                                        "&resourceVersion=<1.metadata.resourceVersion>",
             only="kind")),
    case("with watch=false", *THREE, get("configmaps?watch=false")),
)  # fmt: skip

CASES = LISTS + SELECTORS + WATCHES
