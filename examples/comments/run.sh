#!/bin/sh
# From labelled comments to a worker that holds toxic ones back. The broker's port: PORT=9092 ./run.sh
set -eu
cd "$(dirname "$0")"
export TAGSTREAM_KAFKA__BOOTSTRAP="127.0.0.1:${PORT:=9092}"

tagstream train comments.csv --base minilm --out model --features embedding+characters --config tagstream.yaml

rm -rf broker # what an earlier run left
tagstream broker --port "$PORT" --dir broker >broker.log 2>&1 &
trap 'kill $! 2>/dev/null || :; wait' EXIT
trap 'exit 130' INT TERM
until grep '^broker at' broker.log; do
    kill -0 $! 2>/dev/null || { cat broker.log >&2; exit 1; } # such as: the port is in use
    sleep 0.1
done

tagstream topics create --config tagstream.yaml
tagstream produce comments new.jsonl --config tagstream.yaml
tagstream run --until end --config tagstream.yaml
tagstream tail --from-beginning --until end --count --config tagstream.yaml
echo 'for a person to decide:'
tagstream tail review --from-beginning --until end --config tagstream.yaml
