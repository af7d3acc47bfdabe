"""What the package's own code and its dependencies are known for: bandit, known vulnerabilities,
licences. Part of scripts/test.sh.

Fails where bandit finds something that no line justifies (`# nosec B...`, with a reason), where
pip-audit knows of a vulnerability, or where a dependency states no licence. pip-audit is asked
where it is installed and reaches its data; else that is said, and no fault.

Example: .venv/bin/python scripts/audit.py
"""

import json
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 15


def main() -> int:
    """All three; the status is 1 where one of them found a fault."""
    return int(max(bandit(), vulnerabilities(), licences()))


def bandit() -> bool:
    """Whether bandit finds a fault. B101 is left out: an assert states a promise of our own, never
    a check of what others give.
    """
    command = [
        sys.executable,
        "-m",
        "bandit",
        "--quiet",
        "--recursive",
        "automtl",
        "--skip",
        "B101",
        "--format",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    found = json.loads(done.stdout)
    for fault in [*found["results"], *found["errors"]]:
        print(
            f"bandit: {fault.get('filename')}:{fault.get('line_number')}: "
            f"{fault.get('test_id')} {fault.get('issue_text', fault)}"
        )
    total = found["metrics"]["_totals"]
    justified = total["nosec"] + total["skipped_tests"]
    print(
        f"bandit: {len(found['results'])} faults in {total['loc']} lines, {justified} justified "
        "in the code"
    )
    return bool(found["results"] or found["errors"])


def vulnerabilities() -> bool:
    """Whether pip-audit knows of a vulnerability in a package of the core."""
    if find_spec("pip_audit") is None:
        print("pip-audit: skipped, it is not installed (pip install pip-audit)")
        return False
    pins = [f"{d.name}=={d.version.partition('+')[0]}" for d in dependencies()]
    options = [
        "--disable-pip",
        "--no-deps",
        "--format",
        "json",
        "--progress-spinner",
        "off",
        "--timeout",
        "3",
    ]
    try:
        command = [sys.executable, "-m", "pip_audit", *options, "--requirement", "/dev/stdin"]
        done = subprocess.run(
            command, capture_output=True, text=True, input="\n".join(pins), timeout=SECONDS
        )
        asked = [d for d in json.loads(done.stdout)["dependencies"] if "vulns" in d]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        asked = []
    if not asked:
        print("pip-audit: skipped, its data is out of reach")
        return False
    known = [
        (d["name"], d["version"], v["id"], v["fix_versions"]) for d in asked for v in d["vulns"]
    ]
    for name, version, ident, fixes in known:
        print(
            f"pip-audit: {name} {version}: {ident}, mended in "
            f"{', '.join(fixes) or 'no version yet'}"
        )
    print(f"pip-audit: {len(known)} known vulnerabilities in {len(asked)} packages")
    return bool(known)


def dependencies() -> list[Distribution]:
    """The installed packages that automtl needs to run, its dependencies' own included, by name."""
    found: dict[str, Distribution] = {}
    waiting = list(distribution("automtl").requires or [])
    while waiting:
        wanted = Requirement(waiting.pop())
        if wanted.name.lower() in found or not (
            wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        ):
            continue
        try:
            found[wanted.name.lower()] = distribution(wanted.name)
        except PackageNotFoundError:  # of another platform
            continue
        waiting += found[wanted.name.lower()].requires or []
    return [found[name] for name in sorted(found)]


def licences() -> bool:
    """Print each dependency's licence; whether one states none."""
    stated = [(d.name, d.version, licence(d)) for d in dependencies()]
    width = max(len(name) for name, _, _ in stated)
    for name, version, words in stated:
        print(f"licence: {name:{width}} {version:14} {words or 'NOT STATED'}")
    return any(not words for _, _, words in stated)


def licence(package: Distribution) -> str:
    """A package's licence in its own words: the expression, else the classifiers, else the first
    line of the field.
    """
    known = package.metadata
    classified = [
        c.rpartition("::")[2].strip()
        for c in known.get_all("Classifier") or []
        if c.startswith("License ::")
    ]
    return (
        known.get("License-Expression")
        or ", ".join(classified)
        or (known.get("License") or "").strip().partition("\n")[0][:60]
    )


if __name__ == "__main__":
    sys.exit(main())
