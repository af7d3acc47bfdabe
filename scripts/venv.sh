# shellcheck shell=bash
# Sourced by quickstart.sh and test.sh, never run: one virtual environment, .venv in the checkout, made once and reused.
# Where the folder cannot be written, or holds another environment, name one: AUTOMTL_VENV=/tmp/v scripts/test.sh

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV=${AUTOMTL_VENV:-$ROOT/.venv}
STAMP=$VENV/automtl-stamp
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '== %s\n' "$*"; }

# refuse MESSAGE: the machine or the checkout is not fit.
refuse() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 3; }

# step NAME COMMAND...: say it, run it, stop the script with its status if it fails.
step() {
    local name=$1 status=0
    shift
    say "$name"
    "$@" || status=$?
    if [ "$status" -ne 0 ]; then
        printf '%s: failed at: %s (status %s)\n' "${0##*/}" "$name" "$status" >&2
        exit "$status"
    fi
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# find_python: the first interpreter that is at least 3.11; 3.11 itself comes first, since the pins were tested with it.
find_python() {
    local name
    for name in python3.11 python3; do
        if new_enough "$name"; then command -v "$name"; return; fi
    done
    refuse "Python 3.11 or newer must be on PATH as python3.11 or python3, got $(python3 --version 2>&1 || true); install it"
}

# stamp EXTRAS: what the environment was made from. Equal stamps need no installation.
stamp() {
    printf 'checkout %s\nextras %s\n' "$ROOT" "$1"
    cat "$ROOT/setup.cfg" "$ROOT/pyproject.toml" "$ROOT/constraints.txt" | cksum
}

# make_venv EXTRAS: a .venv with the package (editable) and its extras, such as "[test]"; empty for the core alone.
make_venv() {
    local extras=$1 python
    if [ -f "$STAMP" ] && [ -x "$VENV/bin/automtl" ] && new_enough "$VENV/bin/python"; then
        # An environment with the test extra serves the core too.
        if cmp -s "$STAMP" <(stamp "$extras") || cmp -s "$STAMP" <(stamp "[test]"); then
            say "using $VENV (setup.cfg and constraints.txt are as they were when it was made)"
            return
        fi
    fi
    if ! new_enough "$VENV/bin/python" || ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        step "making $VENV with $("$python" --version)" "$python" -m venv --clear "$VENV"
    fi
    rm -f "$STAMP"
    step "installing automtl$extras with the tested pins into $VENV (some minutes the first time, about 1.5 GB)" \
        "$VENV/bin/python" -m pip install -qq --constraint "$ROOT/constraints.txt" --editable "$ROOT$extras"
    stamp "$extras" >"$STAMP"
}
