#!/usr/bin/env bash
# Studies on real rows under SIGKILL and with two workers, on SQLite and on a PostgreSQL server of the tests' own. Installs what that
# needs (Debian's postgresql, the extra postgres); where a server cannot be had, its tests say so. Arguments go to pytest.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/venv.sh"
cd -- "$ROOT"

if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        step "apt-get update" apt-get update -q
        step "apt-get install postgresql" apt-get install -q -y postgresql
    else
        say "PostgreSQL is not here, and apt-get cannot be used to install it: its tests will be skipped"
    fi
fi
make_venv "[test]"
step "pip install the extra postgres" "$VENV/bin/python" -m pip install -q -c constraints.txt -e ".[postgres]"
exec "$VENV/bin/python" -m pytest -q -m slow tests/phases/test_tune_killed.py "$@"
