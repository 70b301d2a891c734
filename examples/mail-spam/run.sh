#!/bin/sh
# From mails to a worker that puts spam on a topic of its own. How many mails: ./run.sh 1000; the broker's port: PORT=9092
set -eu
cd "$(dirname "$0")"
export TAGSTREAM_KAFKA__BOOTSTRAP="127.0.0.1:${PORT:=9092}"

python fetch.py "${1:-1000}"
tagstream train data/mails --base minilm --out model --features embedding+characters \
    --target precision=0.99:spam --config tagstream.yaml

rm -rf broker # what an earlier run left
tagstream broker --port "$PORT" --dir broker >broker.log 2>&1 &
trap 'kill $! 2>/dev/null || :; wait' EXIT
trap 'exit 130' INT TERM
until grep '^broker at' broker.log; do
    kill -0 $! 2>/dev/null || { cat broker.log >&2; exit 1; } # such as: the port is in use
    sleep 0.1
done

tagstream topics create --config tagstream.yaml
cat data/mails/test/*/*.mbox | tagstream produce mails --mbox --config tagstream.yaml
tagstream run --until end --config tagstream.yaml
tagstream tail --from-beginning --until end --count --config tagstream.yaml
