#!/usr/bin/env bash
# The report in a real headless Chromium, and the loggers with their libraries. Installs what they need (Debian's chromium,
# selenium, the extras tensorboard and mlflow); where that cannot be had it says so and ends well. Arguments go to pytest.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/venv.sh"
cd -- "$ROOT"

if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "skipped: chromium and chromedriver are not here, and apt-get cannot be used to install them"
        exit 0
    fi
    step "apt-get update" apt-get update -q
    step "apt-get install chromium chromium-driver" apt-get install -q -y chromium chromium-driver
fi
make_venv "[test]"
step "pip install selenium and the loggers" "$VENV/bin/python" -m pip install -q -c constraints.txt "selenium>=4.30,<5" -e ".[tensorboard,mlflow]"
exec "$VENV/bin/python" -m pytest -q -m slow tests/reports tests/runs "$@"
