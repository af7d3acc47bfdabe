# shellcheck shell=bash
# Sourced by quickstart.sh and test.sh, never run: one virtual environment, .venv in the checkout, made once and reused.
# Where the folder cannot be written, or holds another environment, name one: AUTOMTL_VENV=/tmp/v scripts/test.sh

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV=${AUTOMTL_VENV:-$ROOT/.venv}
case $VENV in /*) ;; *) VENV=$PWD/$VENV ;; esac
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
    refuse "Python 3.11 or newer must be on PATH as python3.11 or python3, got $(python3 --version 2>/dev/null || echo none)"
}

# stamp EXTRAS: what the environment was made from. Equal stamps need no installation.
stamp() {
    printf 'environment %s\ncheckout %s\nextras %s\n' "$VENV" "$ROOT" "$1"
    cat "$ROOT/setup.cfg" "$ROOT/pyproject.toml" "$ROOT/constraints.txt" | cksum
}

# sound: the environment has a fit Python and pip, and was not moved here from elsewhere (its scripts hold its path).
sound() {
    new_enough "$VENV/bin/python" && "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || return 1
    [ ! -f "$STAMP" ] || grep -qxF "environment $VENV" "$STAMP"
}

# install EXTRAS: quiet while it goes well; pip's own last words where it does not.
install() {
    local log=$VENV/install.log status=0
    "$VENV/bin/python" -m pip install --constraint "$ROOT/constraints.txt" --editable "$ROOT$1" >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 40 "$log" >&2
        say "all of it: $log"
    fi
    return "$status"
}

# make_venv EXTRAS: a .venv with the package (editable) and its extras, such as "[test]"; empty for the core alone.
make_venv() {
    local extras=$1 python
    if [ -f "$STAMP" ] && [ -x "$VENV/bin/automtl" ] && sound; then
        # An environment with the test extra serves the core too.
        if cmp -s "$STAMP" <(stamp "$extras") || cmp -s "$STAMP" <(stamp "[test]"); then
            say "using $VENV (setup.cfg and constraints.txt are as they were when it was made)"
            return
        fi
    fi
    if ! sound; then
        if [ ! -f "$VENV/pyvenv.cfg" ] && [ -n "$(ls -A "$VENV" 2>/dev/null)" ]; then
            refuse "$VENV must be a virtual environment, got another folder with files in it; name a new one in AUTOMTL_VENV"
        fi
        python=$(find_python)
        step "making $VENV with $("$python" --version)" "$python" -m venv --clear "$VENV"
    fi
    say "installing into $VENV: some minutes the first time, about 1.7 GB"
    rm -f "$STAMP"
    step "pip install -c constraints.txt -e .$extras" install "$extras"
    stamp "$extras" >"$STAMP"
}
