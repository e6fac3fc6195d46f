"""Pages of referrers and tags (distribution-spec "Listing Referrers", "Listing Tags").

Rules of this module: a page of referrers is an OCI image index, by its Content-Type and its own words; a page of tags
is an object with `tags`. Anything else is refused, since a page that is dropped hides what it lists. So is a list of
referrers that says it was filtered (`OCI-Filters-Applied`): nobody asked for that, and what was left out is not known.
"""

from __future__ import annotations

import re

from bundler import limits
from bundler.errors import MalformedError
from bundler.fields import Fields
from bundler.network.http import Answer, answer_error
from bundler.oci.descriptor import Descriptor
from bundler.oci.manifest import OCI_INDEX, ImageIndex, parse_manifest
from bundler.strict_json import parse_foreign

TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


def read_referrers(answer: Answer) -> tuple[Descriptor, ...]:
    """The descriptors of one page; closes the answer.

    Raises:
        EnvError: no OCI index, or a filtered one (code ``registry-answer``).
    """
    raw = answer.read_whole(limits.MANIFEST_BYTES)
    filters = answer.header("OCI-Filters-Applied")
    if filters:
        raise answer_error(answer.which, f"a list filtered by {filters[:80]!r}", "all referrers, as was asked")
    media_type = answer.header("Content-Type").partition(";")[0].strip()
    if media_type != OCI_INDEX:
        raise answer_error(answer.which, f"Content-Type {media_type[:80]!r}", OCI_INDEX)
    try:
        page = parse_manifest(raw, OCI_INDEX)
    except MalformedError as error:
        raise answer_error(answer.which, f"a document with a fault ({error.code})", "an OCI index") from error
    return page.manifests if isinstance(page, ImageIndex) else ()


def read_tags(answer: Answer) -> tuple[str, ...]:
    """The tags of one page; closes the answer.

    Raises:
        EnvError: no list of tags (code ``registry-answer``).
    """
    raw = answer.read_whole(limits.LIST_PAGE_BYTES)
    try:
        fields = Fields(parse_foreign(raw, "tags", max_bytes=limits.LIST_PAGE_BYTES), "tags")
        tags = fields.texts("tags", maximum=limits.TAGS) if fields.raw("tags") is not None else ()
    except MalformedError as error:
        raise answer_error(answer.which, f"a document with a fault ({error.code})", "a list of tags") from error
    for tag in tags:
        if not TAG.fullmatch(tag):
            raise answer_error(answer.which, f"tag {tag[:80]!r}", "a tag")
    return tags
