"""The version's requirements are package names with versions: no URL, path or option that an installer would follow.

The agent refuses the same lines when it builds an environment; here it is said before anybody approves.
"""

import re

from packaging.requirements import InvalidRequirement, Requirement

from registry.gates.base import Found, GateInput, failed, passed, warned

LABEL = "Requirements are plain"
HELP = "Requirements are package names with versions: no address, path or option that an installer would follow."
LOOKS_AT = ("evidence",)

LINE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._\-]*(\[[A-Za-z0-9._,\- ]+\])?\s*([<>=!~][^;@/\\]*)?(;[^@/\\]*)?$")


def _is_plain(line: str) -> bool:
    """Whether a line is nothing but a requirement; what follows a `#` is a comment."""
    bare = line.split("#", 1)[0].strip()
    try:
        return not bare or (LINE.match(bare) is not None and Requirement(bare).url is None)
    except InvalidRequirement:
        return False


def check(given: GateInput) -> Found:
    lines = given.version.evidence.get("requirements", [])
    if not lines:
        return warned("The version names no requirements; it runs in the platform's own environment.")
    built_with = given.version.evidence.get("build_requirements", [])
    bad = [line for line in [*lines, *built_with] if not _is_plain(line)]
    if bad:
        return failed(f"Requirement {bad[0]!r} is not a package name with versions.", refused=bad[:20])
    loose = [line for line in lines if "==" not in line]
    if loose:
        return warned(f"{len(loose)} of {len(lines)} requirements have no exact version.", loose=loose[:20])
    return passed(f"{len(lines)} requirements with exact versions.")
