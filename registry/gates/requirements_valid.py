"""The version's requirements are package names with versions: no URL, path or option that an installer would follow."""

import re

from registry.gates.base import Found, GateInput, failed, passed, warned

LINE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._\-]*(\[[A-Za-z0-9._,\- ]+\])?\s*([<>=!~][^;@/\\]*)?(;[^@/\\]*)?$")


def check(given: GateInput) -> Found:
    lines = given.version.evidence.get("requirements", [])
    if not lines:
        return warned("The version names no requirements; it runs in the platform's own environment.")
    built_with = given.version.evidence.get("build_requirements", [])
    bad = [line for line in [*lines, *built_with] if not LINE.match(line)]
    if bad:
        return failed(f"Requirement {bad[0]!r} is not a package name with versions.", refused=bad[:20])
    loose = [line for line in lines if "==" not in line]
    if loose:
        return warned(f"{len(loose)} of {len(lines)} requirements have no exact version.", loose=loose[:20])
    return passed(f"{len(lines)} requirements with exact versions.")
