#!/bin/sh
# Build the registry clients and scanners that tests/end_to_end/test_peers*.py compare with, into .peers/bin (git
# ignores it).
#
# Optional: nothing else needs them, and neither `make setup` nor `make test` nor .ci/run builds them. Where Go is absent
# this says so and ends well. Go itself checks every module against its checksum database. One compiler at a time, and
# at low priority; the largest come last (cosign, grype, trivy: an hour on a busy machine). pip-audit comes from PyPI,
# into an environment of its own.
#   PEERS     which ones, by name (default all)
#   GOFLAGS   added to ours
set -eu
cd "$(dirname "$0")/.."
BIN=$PWD/.peers/bin

say() { printf 'peers: %s\n' "$*" >&2; }

is_built() { # program, module, version
    [ -x "$BIN/$1" ] && go version -m "$BIN/$1" 2>/dev/null | grep -qE "$(printf '\t(mod|dep)\t%s\t%s\t' "$2" "$3")"
}

# As `go install`, which also asks for a list of versions; not every proxy has one of every module.
build_in_module() { # program, module, version, package, flags of the linker
    folder=$BIN/../build-$1
    mkdir -p "$folder"
    printf 'module peers\n\nrequire %s %s\n' "$2" "$3" >"$folder/go.mod"
    (cd "$folder" && GOFLAGS="-p=1 -mod=mod ${GOFLAGS:-}" nice -n 19 go build -ldflags "$5" -o "$BIN/$1" "$2/$4" </dev/null)
}

install_pip_audit() { # version
    case " ${PEERS:-pip-audit} " in *" pip-audit "*) ;; *) return 0 ;; esac
    [ "$("$BIN/pip-audit" --version 2>/dev/null)" = "pip-audit $1" ] && { say "pip-audit $1 is there"; return 0; }
    say "installing pip-audit $1"
    python3 -m venv "$BIN/../pip-audit" && "$BIN/../pip-audit/bin/pip" install --quiet "pip-audit==$1" &&
        ln -sf ../pip-audit/bin/pip-audit "$BIN/pip-audit"
}

mkdir -p "$BIN"
failed=
install_pip_audit 2.10.1 || failed=" pip-audit"
if ! command -v go >/dev/null 2>&1; then
    say "Go is not installed: no peer in Go is built, and the tests that compare with them are skipped"
    [ -z "$failed" ] || { say "not built:$failed"; exit 6; }
    exit 0
fi
# What is pinned: program, module, version, package within the module, and the variable that holds its version, where a
# build has to set that.
while read -r program module version package variable; do
    case " ${PEERS:-$program} " in *" $program "*) ;; *) continue ;; esac
    if is_built "$program" "$module" "$version"; then
        say "$program $version is there"
        continue
    fi
    say "building $program $version"
    flags=${variable:+-X $variable=${version#v}}
    GOBIN=$BIN GOFLAGS="-p=1 ${GOFLAGS:-}" nice -n 19 go install -ldflags "$flags" "$module/$package@$version" </dev/null ||
        build_in_module "$program" "$module" "$version" "$package" "$flags" || failed="$failed $program"
done <<LIST
crane github.com/google/go-containerregistry v0.22.1 cmd/crane
oras oras.land/oras v1.3.6 cmd/oras
regctl github.com/regclient/regclient v0.11.7 cmd/regctl
cosign github.com/sigstore/cosign/v2 v2.6.5 cmd/cosign
grype github.com/anchore/grype v0.110.0 cmd/grype main.version
trivy github.com/aquasecurity/trivy v0.58.1 cmd/trivy github.com/aquasecurity/trivy/pkg/version/app.ver
LIST
[ -z "$failed" ] || { say "not built:$failed"; exit 6; }
