#!/bin/sh
# README's second command: sets everything up, then type check, linter, and all tests. Ends in `N passed, N failed, N skipped`.
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh verify
PATH=$PWD/node_modules/.bin:$PATH
echo "verify: types"
tsc
echo "verify: linter and format"
biome check --max-diagnostics=20 .
echo "verify: all tests"
exec bin/node --disable-warning=ExperimentalWarning test/run.ts all
