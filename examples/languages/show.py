"""Reads what `tagstream tag` gives: id, language, label and score, a line each."""

import json
import sys

for line in sys.stdin:
    result = json.loads(line)
    language = result["text_facts"]["language"] or "-"
    print(f"{result['id']:>3}  {language:<3} {result['label']:<10} {result['score']:.2f}")
