#!/usr/bin/env bash
# A look at the pages without a server and a token: a sandbox on this machine, and a lake and a Dagster of their own.
#   deploy/ui-demo.sh .venv/bin 3000
set -euo pipefail
umask 077
bin=$1 port=$2 sandbox_log=.dagster-demo/sandbox.log

# Dates of the made-up workspace end today; what an earlier demo left has grown old.
rm -rf .dagster-demo
mkdir -p .dagster-demo/home
cp deploy/dagster.yaml .dagster-demo/home/

"$bin/rapidlake" sandbox --port 0 --rate 0 2>"$sandbox_log" &
trap 'kill %1' EXIT
until grep -q RAPIDPRO_TOKEN "$sandbox_log"; do
  kill -0 %1 2>/dev/null || { cat "$sandbox_log"; exit 1; }
  sleep 0.5
done

eval "$(grep 'export RAPIDPRO_' "$sandbox_log")"
export RAPIDLAKE_LAKE=.dagster-demo/lake RAPIDLAKE_CACHE=.dagster-demo/cache DAGSTER_HOME=$PWD/.dagster-demo/home
echo "Open http://127.0.0.1:$port in half a minute: a made-up workspace fills a lake in .dagster-demo/. Ctrl-C ends it."
"$bin/dagster" dev -w workspace.yaml --port "$port" --log-level warning
