#!/bin/sh
# Set up a work tree: the programs that tests use, and a virtual environment with locked packages and this project.
#
# Quick when nothing changed: a stamp in the environment holds a hash of everything that went into it.
#   PYTHON   the interpreter to start from (default python3; 3.11 or later)
#   VENV     where the environment goes (default .venv)
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
STAMP=$VENV/.sealift-setup

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$1"; shift; for hint in "$@"; do printf 'hint: %s\n' "$hint" >&2; done; exit 6; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; }
}

install_packages() {
    for attempt in 1 2 3; do
        if as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >&2 &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >&2; then
            return 0
        fi
        say "apt-get failed (attempt $attempt of 3)"
    done
    return 1
}

# Programs: command and Debian package. Some tests compare with them or use them as a stranger would.
missing_packages() {
    while read -r program package; do
        command -v "$program" >/dev/null 2>&1 || printf '%s ' "$package"
    done <<LIST
skopeo skopeo
jq jq
zstd zstd
openssl openssl
strace strace
faketime faketime
unshare util-linux
docker-registry docker-registry
softhsm2-util softhsm2
chromium chromium
perl perl-base
LIST
}

system_packages() {
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    if may_install; then
        say "installing with apt-get: $missing"
        # shellcheck disable=SC2086 # a list of words
        install_packages $missing || true
        missing=$(missing_packages)
        [ -n "$missing" ] || return 0
    fi
    [ -z "${CI:-}" ] || fail "missing programs: $missing" "install these packages, then try again"
    say "missing programs: $missing(Debian names)"
    say "install them with your system's package manager; until then the tests that need them are skipped"
}

check_python() {
    command -v "$PYTHON" >/dev/null 2>&1 || fail "no program $PYTHON" "install Python 3.11 or later, or set PYTHON"
    "$PYTHON" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' ||
        fail "$PYTHON is $("$PYTHON" -V 2>&1), expected Python 3.11 or later" "make setup PYTHON=python3.13"
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null && return 0
    package=python$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
    if may_install; then
        say "installing with apt-get: $package"
        install_packages "$package" || true
    fi
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$PYTHON cannot make virtual environments (no ensurepip)" "on Debian and Ubuntu: apt-get install $package"
}

fingerprint() {
    { "$PYTHON" -c 'import sys; print(sys.version, sys.prefix)'; pwd
      cat pyproject.toml requirements/dev.txt scripts/setup.sh; } | cksum
}

# Compiled now, so that commands start as quickly as where pip installed them, also where Python may write nothing later
# (PYTHONDONTWRITEBYTECODE) and after each edit. A fraction of a second when nothing changed.
compile_sources() { "$VENV/bin/python" -m compileall -q bundler trust_root || true; } # tests say it better

system_packages
check_python
wanted=$(fingerprint)
if [ -x "$VENV/bin/python" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then
    compile_sources
    exit 0
fi
say "making $VENV with $("$PYTHON" -V 2>&1)"
"$PYTHON" -m venv --clear "$VENV"
pip() { "$VENV/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }
# Wheels only: nothing that was downloaded runs before its hash was checked, and no build script runs at all.
pip install --quiet --require-hashes --only-binary :all: -r requirements/dev.txt
# The build backend is locked too, so the project itself is built with what was just installed. compat: a plain path
# entry, which spares each start the import of a finder.
pip install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
pip check >/dev/null || fail "the locked packages do not fit together" "run: $VENV/bin/python -m pip check"
compile_sources
printf '%s\n' "$wanted" >"$STAMP"
say "ready: $VENV/bin/sealift"
