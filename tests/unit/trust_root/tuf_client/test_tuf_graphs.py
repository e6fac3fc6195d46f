"""Searching targets through delegations: who is asked, in which order, under whose keys, and where it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from securesystemslib.formats import encode_canonical
from tuf.api.metadata import DelegatedRole, Delegations

from bundler import limits
from bundler.errors import TrustError
from bundler.value import dataclass
from tests.simulators.tuf_general import LATER, NOW, Client, GeneralRepository, new_signer
from trust_root.tuf_client.store import FolderStore
from trust_root.tuf_client.walk import refresh

TARGET = "files/tool.txt"


@dataclass(frozen=True, slots=True)
class Edge:
    """One delegation."""

    delegator: str
    role: str
    paths: tuple[str, ...] = ("*/*",)
    terminating: bool = False
    prefixes: tuple[str, ...] | None = None


def edge(text: str, **more: Any) -> Edge:
    """`A>B` or, terminating, `A>>B`."""
    delegator, _, role = text.replace(">>", ">").partition(">")
    return Edge(delegator or "targets", role, terminating=">>" in text, **more)


def graph(*edges: Edge, consistent: bool = True) -> GeneralRepository:
    repository = GeneralRepository(consistent=consistent)
    for one in edges:
        repository.delegate(one.delegator, one.role, one.paths, terminating=one.terminating, prefixes=one.prefixes)
    repository.targets.version += 1
    repository.publish(bump=True)
    return repository


PREFIX = hashlib.sha256(TARGET.encode()).hexdigest()
GRAPHS: dict[str, tuple[list[Edge], str]] = {
    "none": ([], ""),
    "one": ([edge(">A")], "A"),
    "in order": ([edge(">A"), edge(">B"), edge(">C")], "ABC"),
    "depth first": ([edge(">A"), edge(">B"), edge("A>C"), edge("A>D"), edge("B>E")], "ACDBE"),
    "deep": ([edge(">A"), edge("A>B"), edge("B>C"), edge("C>D")], "ABCD"),
    "preorder": ([edge(">A"), edge("A>B"), edge("A>C"), edge("B>D"), edge("C>E")], "ABDCE"),
    "a circle": ([edge(">A"), edge("A>B"), edge("B>A")], "AB"),
    "to itself": ([edge(">A"), edge("A>A")], "A"),
    "a long circle": ([edge(">A"), edge("A>B"), edge("B>C"), edge("C>A"), edge(">D")], "ABCD"),
    "two ways to one": ([edge(">A"), edge(">B"), edge("A>C"), edge("B>C")], "ACB"),
    "terminating first": ([edge(">>A"), edge(">B")], "A"),
    "terminating last": ([edge(">A"), edge(">>B"), edge(">C")], "AB"),
    "terminating goes down": ([edge(">>A"), edge(">B"), edge("A>C"), edge("A>D")], "ACD"),
    "terminating deep": ([edge(">A"), edge(">B"), edge("A>>C"), edge("A>D")], "AC"),
    "terminating elsewhere": ([edge(">>A", paths=("other/*",)), edge(">B")], "B"),
    "paths that do not match": ([edge(">A", paths=("other/*",)), edge(">B", paths=("*.txt",))], ""),
    "one path of several": ([edge(">A", paths=("no", "*", "files/t??l.*"))], "A"),
    "a path without wildcards": ([edge(">A", paths=(TARGET,)), edge(">B", paths=("files",))], "A"),
    "no path": ([edge(">A", paths=())], ""),
    "an empty path": ([edge(">A", paths=("",))], ""),
    "a star does not cross a slash": ([edge(">A", paths=("*",)), edge(">B", paths=("files/*/*",))], ""),
    "a set of characters": ([edge(">A", paths=("files/[s-t]*",)), edge(">B", paths=("files/[!s-t]*",))], "A"),
    "hash prefix": ([edge(">A", prefixes=(PREFIX[:2],)), edge(">B", prefixes=("00", PREFIX[:1]))], "AB"),
    "other hash prefix": ([edge(">A", prefixes=(PREFIX[1:3],)), edge(">B", prefixes=())], ""),
    "every hash": ([edge(">A", prefixes=("",))], "A"),
    "narrower below": ([edge(">A"), edge("A>B", paths=("files/x*",)), edge("A>C", paths=("files/t*",))], "AC"),
}


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize(("edges", "visited"), GRAPHS.values(), ids=GRAPHS)
def test_roles_are_asked_in_their_order(edges: list[Edge], visited: str, consistent: bool) -> None:
    repository = graph(*edges, consistent=consistent)
    client = Client(repository)
    assert client.search(TARGET) == "target-absent"
    assert repository.roles_asked() == list(visited)
    assert client.search(TARGET) == "target-absent"
    assert repository.roles_asked() == []  # all of them are kept, and verified again


@pytest.mark.parametrize(("edges", "visited"), GRAPHS.values(), ids=GRAPHS)
def test_the_first_role_that_lists_the_target_ends_the_search(edges: list[Edge], visited: str) -> None:
    for position, name in enumerate(visited):
        repository = graph(*edges)
        for later in visited[position:]:
            repository.add_target(TARGET, later.encode(), later)
        repository.publish(bump=True)
        client = Client(repository)
        assert client.download(TARGET) == name.encode()
        repository.asked = [asked for asked in repository.asked if not asked.startswith("targets/")]
        assert repository.roles_asked() == list(visited[: position + 1])


def test_what_targets_list_themselves_comes_first() -> None:
    repository = graph(edge(">A"))
    repository.add_target(TARGET, b"A", "A")
    repository.add_target(TARGET, b"top")
    repository.publish(bump=True)
    assert Client(repository).search(TARGET) == "targets"
    assert repository.roles_asked() == []


def test_only_paths_that_lead_to_a_role_are_its_own() -> None:
    """A role may list what it likes; nobody asks it about what was not delegated."""
    repository = graph(edge(">A", paths=("a/*",)), edge(">B", paths=("b/*",)))
    repository.add_target("b/tool", b"stolen", "A")
    repository.add_target("b/tool", b"own", "B")
    repository.publish(bump=True)
    assert Client(repository).download("b/tool") == b"own"


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_hash_bins_in_short(bits: int) -> None:
    repository = GeneralRepository()
    bins = repository.delegate_bins(bits, "bin")
    wanted = {f"files/{number}": bins.get_role_for_target(f"files/{number}") for number in range(12)}
    for path, role in wanted.items():
        repository.add_target(path, path.encode(), role)
    repository.publish(bump=True)
    client = Client(repository)
    for path, role in wanted.items():
        assert client.search(path) == role
        assert client.download(path) == path.encode()
    repository.roles_asked()
    assert client.search("absent") == "target-absent"
    assert len(repository.roles_asked()) <= 1


def test_hash_bins_one_by_one() -> None:
    """As PEP 458 has it: targets, then bins, then one of sixteen."""
    repository = GeneralRepository()
    repository.delegate("targets", "bins", ("*/*",))
    for digit in "0123456789abcdef":
        repository.delegate("bins", f"bin-{digit}", None, prefixes=[digit])
    repository.add_target(TARGET, b"x", f"bin-{PREFIX[0]}")
    repository.publish(bump=True)
    assert Client(repository).download(TARGET) == b"x"
    assert [name for name in repository.roles_asked() if name in repository.delegates] == ["bins", f"bin-{PREFIX[0]}"]


# -- under whose keys -----------------------------------------------------------------


def test_a_kept_role_is_verified_under_the_role_that_leads_to_it() -> None:
    """A and B both delegate to C, with different keys; C is signed for A alone."""
    repository = GeneralRepository()
    repository.delegate("targets", "A", ("a/*",))
    repository.delegate("targets", "B", ("b/*",))
    repository.delegate("A", "C", ("*/*",))
    repository.delegate("B", "C", ("*/*",), signer=new_signer())
    repository.add_target("a/tool", b"good", "C")
    repository.add_target("b/tool", b"bad", "C")
    repository.publish(bump=True)
    client = Client(repository)
    assert client.search("b/tool") == "threshold"
    assert client.search("a/tool") == "C"
    assert client.walk is not None
    assert client.walk.find_target("a/tool").role == "C"
    with pytest.raises(TrustError, match="threshold 1"):
        client.walk.find_target("b/tool")  # in the same run, with C at hand
    assert client.search("b/tool") == "threshold"  # in the next one, with C in the store


def test_a_delegators_new_key_counts_at_once() -> None:
    repository = GeneralRepository()
    repository.delegate("targets", "A")
    repository.add_target("x", b"x", "A")
    repository.publish(bump=True)
    client = Client(repository)
    assert client.search("x") == "A"
    repository.delegate("targets", "A", signer=new_signer())
    repository.targets.version += 1
    repository.publish(bump=True)
    assert client.search("x") == "threshold"


def test_thresholds_of_delegations_count() -> None:
    repository = GeneralRepository()
    first = repository.delegate("targets", "A", threshold=2)
    second = new_signer()
    repository.targets.add_key(second.public_key, "A")
    repository.add_target("x", b"x", "A")
    repository.publish(bump=True)
    client = Client(repository)
    assert client.search("x") == "threshold"
    repository.signers["A"] = [first, second]
    repository.delegates["A"].version += 1
    repository.publish(bump=True)
    assert client.search("x") == "A"


@pytest.mark.parametrize("consistent", [True, False])
def test_new_versions_of_a_role_are_fetched(consistent: bool) -> None:
    repository = GeneralRepository(consistent=consistent)
    repository.delegate("targets", "A")
    repository.publish(bump=True)
    client = Client(repository)
    assert client.search("x") == "target-absent"
    repository.delegates["A"].version = 2
    repository.add_target("x", b"x", "A")
    repository.publish(bump=True)
    assert client.search("x") == "A"
    assert client.version("A") == 2


def test_a_role_that_the_snapshot_does_not_name() -> None:
    repository = graph(edge(">A"))
    del repository.snapshot.meta["A.json"]
    repository.publish_snapshot()
    assert Client(repository).search(TARGET) == "delegation"


def test_a_role_of_another_version_than_named() -> None:
    repository = graph(edge(">A"))
    repository.snapshot.meta["A.json"].version = 2
    repository.files["2.A.json"] = repository.files["1.A.json"]
    repository.publish_snapshot()
    assert Client(repository).search(TARGET) == "version-mismatch"


def test_an_expired_role_ends_the_search() -> None:
    repository = graph(edge(">A"), edge(">B"))
    repository.delegates["A"].expires = NOW
    repository.add_target(TARGET, b"B", "B")
    repository.publish(bump=True)
    assert Client(repository).search(TARGET) == "expired"
    assert Client(repository).search("elsewhere") == "target-absent"


def test_a_role_that_is_absent_ends_the_search() -> None:
    repository = graph(edge(">A"), edge(">B"))
    repository.add_target(TARGET, b"B", "B")
    repository.publish(bump=True)
    del repository.files["1.A.json"]
    assert Client(repository).search(TARGET) == "metadata-absent"


def test_the_limit_of_roles_is_an_error_not_an_absence() -> None:
    repository = GeneralRepository()
    for number in range(limits.TUF_ROLES_VISITED - 1):
        repository.delegate("targets", f"r{number}")
    repository.publish(bump=True)
    client = Client(repository)
    assert client.search("x") == "target-absent"
    repository.delegate("targets", "one more")
    repository.add_target("x", b"x", "one more")
    repository.targets.version += 1
    repository.publish(bump=True)
    assert client.search("x") == "limits"


# -- names ----------------------------------------------------------------------------


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize(
    "name", ["?", "#", "/delegated", "../delegated", "..", ".", "é", "a b", "a%2fb", "a\\b", "1.x", "x\n", "\u202e"]
)
def test_names_of_roles_are_data(name: str, consistent: bool, tmp_path: Any) -> None:
    repository = GeneralRepository(consistent=consistent)
    repository.delegate("targets", name)
    repository.add_target("x", b"x", name)
    repository.publish(bump=True)
    folder = tmp_path / "inner"
    folder.mkdir()
    client = Client(repository, FolderStore(folder))
    assert client.search("x") == name
    assert client.version(name) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"inner"}
    assert len(list(folder.iterdir())) == 5


@pytest.mark.parametrize("name", ["", "root", "timestamp", "snapshot", "targets", "x" * 300])
def test_names_that_no_delegated_role_has(name: str) -> None:
    repository = GeneralRepository()
    repository.delegate("targets", "A")
    delegations = repository.targets.delegations
    assert delegations is not None
    assert delegations.roles is not None
    delegations.roles["A"].name = name
    repository.publish(bump=True)
    assert Client(repository).refresh() == "metadata-form"


Change = Callable[[dict[str, Any]], object]


def edited(repository: GeneralRepository, role: str, change: Change) -> None:
    """Sign a file of version 1 anew, with fields as other programs write them."""
    name = f"1.{role}.json"
    signed = json.loads(repository.files[name])["signed"]
    change(signed)
    payload = encode_canonical(signed)
    assert payload is not None
    made = [signer.sign(payload.encode()) for signer in repository.signers[role]]
    signatures = [{"keyid": one.keyid, "sig": one.signature} for one in made]
    repository.files[name] = json.dumps({"signatures": signatures, "signed": signed}).encode()


@pytest.mark.parametrize(
    ("role", "change"),
    [
        ("targets", lambda signed: signed["delegations"]["roles"][0].update(path_hash_prefixes=None)),
        ("targets", lambda signed: signed["delegations"]["roles"][0].update(paths=None, path_hash_prefixes=[""])),
        ("targets", lambda signed: signed["delegations"].update(succinct_roles=None)),
        ("A", lambda signed: signed.update(delegations=None)),
        ("snapshot", lambda signed: signed["meta"]["A.json"].update(length=None, hashes=None)),
    ],
)
def test_null_is_absent_where_a_field_may_be_absent(role: str, change: Change) -> None:
    repository = GeneralRepository()
    repository.delegate("targets", "A")
    repository.add_target("x", b"x", "A")
    repository.publish()
    edited(repository, role, change)
    assert Client(repository).search("x") == "A"


def test_null_stands_for_nothing_that_is_needed() -> None:
    repository = GeneralRepository()
    repository.delegate("targets", "A")
    repository.publish()
    edited(repository, "targets", lambda signed: signed["delegations"]["roles"][0].update(paths=None))
    assert Client(repository).search("x") == "metadata-form"


@pytest.mark.parametrize("prefix", ["targets", "root", ""])
def test_bins_may_be_named_after_any_role(prefix: str) -> None:
    """TAP 15: a bin is named by prefix, hyphen and number, which no top-level role is."""
    repository = GeneralRepository()
    repository.delegate_bins(1, prefix)
    repository.publish(bump=True)
    for name in repository.delegates:
        repository.add_target("x", b"x", name)
    repository.publish(bump=True)
    assert Client(repository).search("x") in {f"{prefix}-0", f"{prefix}-1"}


@pytest.mark.parametrize("fault", ["twice", "both", "neither", "pattern", "prefix", "bins", "roles and bins"])
def test_delegations_that_mean_two_things(fault: str) -> None:
    repository = GeneralRepository()
    signer = repository.delegate("targets", "A")
    delegations = repository.targets.delegations
    assert delegations is not None
    assert delegations.roles is not None
    role = delegations.roles["A"]
    if fault == "twice":
        delegations.roles["again"] = DelegatedRole("A", [signer.public_key.keyid], 1, False, ["*"])
    elif fault == "both":
        role.unrecognized_fields = {"path_hash_prefixes": ["00"]}
    elif fault == "neither":
        role.paths = None
    elif fault == "pattern":
        role.paths = ["a[![b"]
    elif fault == "prefix":
        role.paths, role.path_hash_prefixes = None, ["XY"]
    elif fault == "bins":
        bins = repository.delegate_bins(1, "bin")
        bins.bit_length = 33
    else:
        delegations.unrecognized_fields = {"succinct_roles": {}}
    repository.delegates = {}
    repository.publish(bump=True)
    assert Client(repository).refresh() == "metadata-form"


def test_no_delegations_at_all() -> None:
    repository = GeneralRepository()
    repository.targets.delegations = Delegations({}, roles={})
    repository.targets.expires = LATER
    repository.publish(bump=True)
    assert Client(repository).search("x") == "target-absent"
    assert refresh(repository.pin, repository, NOW).targets.body.delegations is not None
