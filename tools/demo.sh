#!/bin/sh
# README's first command: sets everything up, then runs a pod. Arguments go to tools/demo.ts.
set -eu
here=$(dirname "$(readlink -f "$0")")
case " $* " in
*" --help "*)
  echo "usage: npm run demo [-- --keep] [-- --image REFERENCE]"
  echo "Sets the machine up, starts the daemon, pulls an image, runs a pod from it and shows state, address, log and timings."
  echo "  --keep             leave the daemon and the pod running, on the usual directories, and say how to talk to them"
  echo "  --image REFERENCE  an image of a registry in reach, instead of one made on the spot from Debian's busybox-static"
  exit 0
  ;;
esac
"$here/setup.sh" demo
exec "$here/../bin/node" --disable-warning=ExperimentalWarning "$here/demo.ts" "$@"
