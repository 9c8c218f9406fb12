#!/bin/sh
# with-node.sh [--light] SCRIPT ARGS…: bootstrap, then SCRIPT (a path in this
# tree) under vmsan's own Node. --light brings Node and the npm packages only.
set -eu
root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
light=
if [ "${1:-}" = --light ]; then
  light=--light
  shift
fi
[ $# -gt 0 ] || {
  echo 'usage: with-node.sh [--light] SCRIPT ARGS...' >&2
  exit 2
}
# Standard output and input are the script's.
sh "$root/scripts/bootstrap.sh" --quiet $light </dev/null >&2
script=$root/$1
shift
exec "$root/build/node" "$script" "$@"
