#!/usr/bin/env bash
# `make prefect`: a Prefect server, its work pools, the deployments and a worker, until Ctrl-C ends them all.
#   PREFECT_PORT   of the server on this machine (4200)
#   ZSAR_POOL      the pool that the deployments and this worker use: gpu where there is one, else cpu
#   KINETICS, UCF101, HMDB51, FOLDER   where the data sets lie
#   NTU, NTU_CLASSES, STGCN            the folder of NTU's skeletons, the list of its classes, weights of ST-GCN
#   DEFINITIONS, ACTIONHUB             definitions of Kinetics' classes, a file, and descriptions, a file or a folder
set -euo pipefail
set -m # else what runs in the background ignores the interrupt by which a worker stops
cd "$(dirname "$0")"
export PREFECT_WORKER_QUERY_SECONDS="${PREFECT_WORKER_QUERY_SECONDS:-3}"
export DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false PREFECT_CLI_PROMPT=false
export PREFECT_FLOWS_HEARTBEAT_FREQUENCY="${PREFECT_FLOWS_HEARTBEAT_FREQUENCY:-30}" # seconds: by which a killed run is told
export PREFECT_API_URL="http://127.0.0.1:${PREFECT_PORT:=4200}/api"
export ZSAR_HOME="$PWD" KINETICS="${KINETICS:-/data/kinetics}" UCF101="${UCF101:-/data/ucf101}"
export HMDB51="${HMDB51:-/data/hmdb51}" FOLDER="${FOLDER:-/data/videos}"
export NTU="${NTU:-/data/ntu}" NTU_CLASSES="${NTU_CLASSES:-/data/ntu_classes.txt}" STGCN="${STGCN:-/data/stgcn.safetensors}"
export DEFINITIONS="${DEFINITIONS:-/data/definitions_kinetics.json}" ACTIONHUB="${ACTIONHUB:-/data/actionhub}"
gpus=$( (nvidia-smi -L 2>/dev/null || true) | wc -l)
export ZSAR_POOL="${ZSAR_POOL:-$([ "$gpus" -gt 0 ] && echo gpu || echo cpu)}"

python -m pipelines.command.port "$PREFECT_PORT" # ends here, before anything is written, where somebody has it

server='' worker=''
stop() { # the worker first: it tells the server how its runs ended
  trap - EXIT
  for process in $worker $server; do
    kill "$process" 2>/dev/null || continue
    for _ in $(seq 20); do kill -0 "$process" 2>/dev/null || break; sleep .5; done
    kill "$process" 2>/dev/null || true # a second one ends it at once
    wait "$process" 2>/dev/null || true
  done
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

log="${PREFECT_HOME:-$HOME/.prefect}/zsar-server.log"
mkdir -p "$(dirname "$log")"
prefect server start --host 127.0.0.1 --port "$PREFECT_PORT" >"$log" 2>&1 &
server=$!
for _ in $(seq 120); do
  kill -0 "$server" 2>/dev/null || { tail -n 3 "$log" >&2; echo "The Prefect server did not start; see $log. Is port $PREFECT_PORT taken? Give another with PREFECT_PORT=..." >&2; exit 1; }
  python -c "import urllib.request as u; u.urlopen('$PREFECT_API_URL/health', timeout=2)" 2>/dev/null && break
  sleep 1
done
sleep 1 # somebody else may have taken the port just now, and answers in our server's place
kill -0 "$server" 2>/dev/null || { echo "The Prefect server did not start; see $log." >&2; exit 1; }

for pool in cpu gpu; do
  prefect work-pool inspect "$pool" >/dev/null 2>&1 || prefect work-pool create "$pool" --type process >/dev/null
done
# as many shards compute on GPUs at once as there are GPUs, over all runs
prefect gcl inspect gpu >/dev/null 2>&1 || prefect gcl create gpu --limit "$((gpus > 0 ? gpus : 1))" >/dev/null
prefect automation inspect 'end killed runs' >/dev/null 2>&1 || prefect automation create --from-file automations.yaml >/dev/null
prefect deploy --all >>"$log" 2>&1 || { tail -n 20 "$log" >&2; echo "The deployments were refused; see $log." >&2; exit 1; }

echo "Look at http://127.0.0.1:$PREFECT_PORT ; in another shell: export PREFECT_API_URL=$PREFECT_API_URL"
echo "then: prefect deployment run extract/extract-kinetics   or: zsar run extract-kinetics"
prefect worker start --pool "$ZSAR_POOL" --name "$(hostname)-$ZSAR_POOL" &
worker=$!
wait "$worker"
