#!/usr/bin/env bash
# Format a checkout at 100 columns: format.sh, in its root. Comments first: a long one behind code would pull the code apart.
set -euo pipefail
here=$(dirname -- "${BASH_SOURCE[0]}")
py=.venv/bin/python
mapfile -t files < <(git ls-files '*.py')
"$py" "$here/wrap.py" prose,docstrings "${files[@]}"
"$py" -m ruff format -q
for what in prose,docstrings,strings,pragmas comments,docstrings,strings,pragmas comments,strings comments,strings; do
  "$py" "$here/wrap.py" "$what" "${files[@]}"
  "$py" -m ruff format -q
done
