"""What `sealift patch` prints, as text and as JSON.

Rule: text escapes whatever came from outside; JSON keeps it and has stable keys. Counts of vulnerabilities are the
scanner's word, and are told as that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from bundler.escaping import escape
from bundler.export.patch import PatchedImage, PlannedImage
from bundler.export.patch_platform import PlatformPatch
from bundler.export.pipeline import Exported
from bundler.export.show import exported_json, exported_text

_UNSEEN = "; NOT LOOKED AT: packages of a distribution"
_NOTHING = "nothing has changed since the last delivery: no bundle was written\n"


def patched_text(done: Exported | None, patched: Sequence[PatchedImage]) -> str:
    """The result, for people. `done` is None when there was nothing to export."""
    if done is None:
        return _NOTHING
    lines = [line for image in patched for line in _image_lines(image)]
    return "\n".join(lines) + "\n" + exported_text(done)


def patched_json(done: Exported | None, patched: Sequence[PatchedImage]) -> str:
    """The result, for programs."""
    export = None if done is None else json.loads(exported_json(done))
    value = {"exported": export, "patched": [_image_json(image) for image in patched]}
    return json.dumps(value, indent=2) + "\n"


def planned_text(planned: Sequence[PlannedImage]) -> str:
    """What would be patched, for people."""
    lines = [line for image in planned for line in _plan_lines(image)]
    return "".join(f"{escape(line)}\n" for line in lines) or "nothing has changed since the last delivery\n"


def planned_json(planned: Sequence[PlannedImage]) -> str:
    """What would be patched, for programs."""
    images = [
        {
            "name": image.name,
            "digest": str(image.digest),
            "platforms": [
                {
                    "platform": each.platform,
                    "original": str(each.manifest),
                    "found": each.found,
                    "mendable": list(each.mendable),
                    "looked": each.looked,
                }
                for each in image.platforms
            ],
        }
        for image in planned
    ]
    return json.dumps({"planned": images}, indent=2) + "\n"


def _plan_lines(image: PlannedImage) -> Iterator[str]:
    yield f"{'would patch' if any(each.mendable for each in image.platforms) else 'nothing to patch in'} {image.name}"
    for each in image.platforms:
        counts = f"vulnerabilities: {each.found}, {len(each.mendable) or 'none'} that copa could mend"
        yield f"  {each.platform}: {counts}{'' if each.looked else _UNSEEN}"


def _image_lines(image: PatchedImage) -> list[str]:
    refused = any(each.refused for each in image.platforms)
    left = f"NOT PATCHED {image.name}" if refused else f"nothing to patch in {image.name}"
    what = f"patched {image.name} as {image.patched_name}" if image.changed else left
    return [escape(what), *(f"  {escape(_platform_line(each))}" for each in image.platforms)]


def _platform_line(each: PlatformPatch) -> str:
    mendable = f"{len(each.mendable) or 'none'} that copa could mend"
    if each.refused:
        return f"{each.fact.platform}: UNPATCHED, {mendable}, by trivy's word: {each.refused}"
    if each.fact.original == each.fact.patched:
        unseen = "" if each.looked else _UNSEEN
        return f"{each.fact.platform}: as it was; vulnerabilities: {each.left}, {mendable}, by trivy's word{unseen}"
    return f"{each.fact.platform}: vulnerabilities: {each.gone} gone, {each.left} left, {mendable}, by trivy's word"


def _image_json(image: PatchedImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "digest": str(image.digest),
        "patched_name": image.patched_name if image.changed else None,
        "lost_platforms": list(image.derivation.lost),
        "platforms": [
            {
                "platform": each.fact.platform,
                "original": str(each.fact.original),
                "patched": str(each.fact.patched),
                "gone": each.gone,
                "left": each.left,
                "mendable": list(each.mendable),
                "refused": each.refused or None,
                "looked": each.looked,
            }
            for each in image.platforms
        ],
    }
