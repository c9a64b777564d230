#!/bin/sh
# Builds promtool and kustomize into the folder $1, where there is a Go that can. Without, the checks that need them say that they are skipped.
# (`go install` refuses prometheus for the excludes in its go.mod, hence a module of our own around it.)
set -eu
command -v go >/dev/null || { echo "No Go here: promtool and kustomize are not built."; exit 0; }
bin=$(cd "$1" && pwd)
module=$(mktemp -d)
trap 'rm -rf "$module"' EXIT
cd "$module"
export GOFLAGS=-mod=mod
go mod init check >/dev/null 2>&1
if [ ! -x "$bin/promtool" ]; then
  go get github.com/prometheus/prometheus/cmd/promtool@v0.307.3 && go build -o "$bin/promtool" github.com/prometheus/prometheus/cmd/promtool
fi
if [ ! -x "$bin/kustomize" ]; then
  GOBIN="$bin" go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
fi
