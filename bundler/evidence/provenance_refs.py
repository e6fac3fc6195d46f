"""The branch and the tag that a build's source stood at, by the meaning of slsa-verifier's options of these names.

    from                                      branch                              tag
    the source's ref                          refs/heads/…                        refs/tags/…
    GitHub, ref type `branch`                 ref
    GitHub, ref type `tag`                    the event's base_ref; of a release  ref
                                              its target_commitish
    Google Cloud Build                        BRANCH_NAME                         TAG_NAME

GitHub's words stand in `invocation.environment` (version 0.2, `github_…`) and `internalParameters` (version 1,
`GITHUB_…`); Google's in `recipe.arguments.substitutions` and `internalParameters.systemSubstitutions`.

Rules of this module:
- The builder writes these places, not who asks for the build. Names are short: `main`, `v1.2.3`.
- Two places that say different things are refused. A target that may be a commit is no branch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bundler.evidence.provenance_parts import one_of, text
from bundler.fields import Fields
from bundler.oci.spelling import inner

_HEADS, _TAGS = "refs/heads/", "refs/tags/"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)


def read_refs(version: str, predicate: Fields, ref: str | None) -> tuple[str | None, str | None]:
    """Branch and tag, short; None where nothing says them.

    Args:
        version: of SLSA provenance, e.g. `v0.2`.
        predicate: the provenance.
        ref: that of its source.

    Raises:
        MalformedError: ambiguous (code ``provenance``), or of another shape.
    """
    refs = {found for found in (ref, *_said(version, predicate)) if found is not None}
    branches, tags = (
        {found.removeprefix(start) for found in refs if found.startswith(start)} - {""} for start in (_HEADS, _TAGS)
    )
    return one_of(branches, "branch"), one_of(tags, "tag")


def _said(version: str, predicate: Fields) -> Iterator[str | None]:
    """All refs that are said beside the source's own."""
    if version == "v1":
        parameters = inner(inner(predicate, "buildDefinition"), "internalParameters")
        yield from _github(parameters, "GITHUB_")
        yield from _google(inner(parameters, "systemSubstitutions"))
    elif version == "v0.2":
        yield from _github(inner(inner(predicate, "invocation"), "environment"), "github_")
    else:
        yield from _google(inner(inner(inner(predicate, "recipe"), "arguments"), "substitutions"))


def _github(words: Fields | None, start: str) -> Iterator[str | None]:
    kind, ref, event_name, payload = (
        f"{start}{word.upper() if start.isupper() else word}"
        for word in ("ref_type", "ref", "event_name", "event_payload")
    )
    of_type = text(words, kind)
    if of_type not in ("branch", "tag"):
        return
    yield text(words, ref)
    if of_type == "tag":
        event = inner(words, payload)
        base = text(event, "base_ref")
        if base is None and text(words, event_name) == "release":
            target = text(inner(event, "release"), "target_commitish")
            base = None if target is None or _COMMIT.fullmatch(target) else f"{_HEADS}{target.removeprefix(_HEADS)}"
        yield base


def _google(words: Fields | None) -> Iterator[str | None]:
    for key, start in (("BRANCH_NAME", _HEADS), ("TAG_NAME", _TAGS)):
        found = text(words, key)
        yield None if found is None else start + found
