#!/bin/sh
# Install sealift from this kit, without a network: sh install.sh TARGET
#
# TARGET is the folder to make (a Python virtual environment). Set PYTHON to choose the interpreter.
# Every file of the kit is checked against SHA256SUMS, and every wheel once more by pip. That finds damage. Whether the
# kit is the one that was sent, only you can tell: compare the digest printed first with one that came another way.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-python3}

say() { printf 'install: %s\n' "$*" >&2; }
fail() {
    status=$1
    say "$2"
    shift 2
    for hint in "$@"; do printf 'hint: %s\n' "$hint" >&2; done
    exit "$status"
}

[ $# -eq 1 ] && [ -n "$1" ] || fail 2 "expected one argument: the folder to make" "sh install.sh /opt/sealift"
TARGET=$1
if [ -e "$TARGET" ] || [ -L "$TARGET" ]; then
    fail 2 "$TARGET exists, expected a new folder" "choose another folder, or remove this one"
fi

# 1. The kit is whole.
cd "$HERE"
[ -f SHA256SUMS ] || fail 3 "no SHA256SUMS beside install.sh" "unpack the whole kit and run install.sh from there"
say "SHA256SUMS has the digest $(sha256sum SHA256SUMS | cut -d ' ' -f 1)"
sha256sum --check --strict --quiet SHA256SUMS >&2 || fail 3 "the kit is damaged" "copy the kit again"
cd "$OLDPWD"

# 2. The machine fits.
command -v "$PYTHON" >/dev/null 2>&1 || fail 6 "no program $PYTHON" "install Python 3.11 to 3.14, or set PYTHON"
system=$("$PYTHON" -c 'import platform as p; print(p.system(), p.machine(), p.python_implementation())')
[ "$system" = "Linux x86_64 CPython" ] || fail 6 "this is $system, expected Linux x86_64 CPython"
"$PYTHON" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' ||
    fail 6 "$PYTHON is $("$PYTHON" -V 2>&1), expected Python 3.11 to 3.14" "PYTHON=python3.12 sh install.sh $TARGET"
"$PYTHON" -c 'import platform; raise SystemExit(platform.libc_ver()[0] != "glibc")' ||
    fail 6 "this system's C library is not glibc, expected glibc"
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
    fail 6 "$PYTHON cannot make virtual environments (no ensurepip)" "on Debian and Ubuntu the package is python3-venv"

# 3. Install, all or nothing. --isolated: no settings of this machine's pip take part.
trap 'rm -rf "$TARGET"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$PYTHON" -m venv "$TARGET"
"$TARGET/bin/python" -m pip --isolated --quiet --no-input --disable-pip-version-check install \
    --no-index --no-cache-dir --find-links "$HERE/wheels" --only-binary :all: --require-hashes \
    --requirement "$HERE/requirements.txt" || fail 6 "pip could not install the kit"
"$TARGET/bin/sealift" --version
trap - EXIT
say "ready: $TARGET/bin/sealift"
