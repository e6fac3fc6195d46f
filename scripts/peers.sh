#!/bin/sh
# Build the registry clients that tests/end_to_end/test_peers.py compares with, into .peers/bin (git ignores it).
#
# Optional: nothing else needs them, and neither `make setup` nor `make test` nor .ci/run builds them. Where Go is absent
# this says so and ends well. Go itself checks every module against its checksum database. One compiler at a time, and
# at low priority; cosign is the largest by far, and comes last.
#   PEERS     which ones, by name (default all)
#   GOFLAGS   added to ours
set -eu
cd "$(dirname "$0")/.."
BIN=$PWD/.peers/bin

say() { printf 'peers: %s\n' "$*" >&2; }

is_built() { # program, module, version
    [ -x "$BIN/$1" ] && go version -m "$BIN/$1" 2>/dev/null | grep -qF "$(printf '\tmod\t%s\t%s\t' "$2" "$3")"
}

if ! command -v go >/dev/null 2>&1; then
    say "Go is not installed: no peers are built, and the tests that compare with them are skipped"
    exit 0
fi
mkdir -p "$BIN"
failed=
# What is pinned: program, module, version, package within the module.
while read -r program module version package; do
    case " ${PEERS:-$program} " in *" $program "*) ;; *) continue ;; esac
    if is_built "$program" "$module" "$version"; then
        say "$program $version is there"
        continue
    fi
    say "building $program $version"
    GOBIN=$BIN GOFLAGS="-p=1 ${GOFLAGS:-}" nice -n 19 go install "$module/$package@$version" </dev/null ||
        failed="$failed $program"
done <<LIST
crane github.com/google/go-containerregistry v0.22.1 cmd/crane
oras oras.land/oras v1.3.6 cmd/oras
regctl github.com/regclient/regclient v0.11.7 cmd/regctl
cosign github.com/sigstore/cosign/v2 v2.6.5 cmd/cosign
LIST
[ -z "$failed" ] || { say "not built:$failed"; exit 6; }
