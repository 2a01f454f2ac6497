#!/usr/bin/env bash
# Plays contract/play.py against lakefuse-devserver, with presigned URLs and without, and compares what it answered with
# what a real lakeFS server did. Any differing line fails.
#
#     play_test.sh PATH/TO/lakefuse-devserver
set -euo pipefail

server=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; fi; rm -rf "$work"' EXIT
export LAKEFUSE_DEV_ACCESS_KEY_ID=AKIAPLAY LAKEFUSE_DEV_SECRET_ACCESS_KEY=play-secret

# play NAMESPACE EXPECTED [SERVER OPTION]...
play() {
  local namespace=$1 expected=$2 endpoint
  shift 2
  rm -f "$work/ready"
  "$server" --data "$work/data-$expected" --ready-file "$work/ready" "$@" >"$work/server.log" 2>&1 &
  pid=$!
  for _ in $(seq 200); do
    [ -e "$work/ready" ] && break
    kill -0 "$pid" 2>/dev/null || { cat "$work/server.log"; return 1; }
    sleep 0.05
  done
  endpoint=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["endpoint"])' "$work/ready")
  python3 "$here/play.py" "$endpoint" "$LAKEFUSE_DEV_ACCESS_KEY_ID" "$LAKEFUSE_DEV_SECRET_ACCESS_KEY" "$namespace" \
    >"$work/answers.txt"
  kill "$pid" && wait "$pid" || true
  pid=
  if ! diff -u "$here/$expected.txt" "$work/answers.txt"; then
    echo "the dev server answers otherwise than the real one ($expected.txt; lines with + are ours)"
    return 1
  fi
  echo "same answers as in $expected.txt: $(grep -c '^# ' "$work/answers.txt") calls shown"
}

play s3://contract-bucket/play real-s3
play local://contract-play real-local --no-presign
