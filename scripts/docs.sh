#!/usr/bin/env bash
# Builds the documentation into docs/_build; any warning is a failure. Nothing is fetched from outside.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/venv.sh"
cd -- "$ROOT"

make_venv "[docs]"
step "docs: sphinx" "$VENV/bin/python" -m sphinx -W --keep-going -q -b html docs docs/_build
say "open docs/_build/index.html"
