#!/usr/bin/env bash
# Everything a change must pass: style, types, audit, tests. Any arguments go to pytest, for example: scripts/test.sh tests/layers -x
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/venv.sh"
cd -- "$ROOT"

make_venv "[test]"
step "style: ruff check" "$VENV/bin/ruff" check
step "style: ruff format" "$VENV/bin/ruff" format --check
step "types: mypy automtl" "$VENV/bin/mypy" automtl
step "audit: bandit, known vulnerabilities, licences" "$VENV/bin/python" scripts/audit.py
say "tests: pytest, without the slow ones"
exec "$VENV/bin/python" -m pytest -q -m "not slow" -n 2 --dist worksteal --durations=20 "$@"
