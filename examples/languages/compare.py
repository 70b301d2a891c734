"""Accuracy by language, from what `tagstream train --json` and `tagstream evaluate --json` print: a file a language."""

import json
import sys
from pathlib import Path

print("      texts  always the same label  best TF-IDF  this model (95 %)")
for path in map(Path, sys.argv[1:]):
    found = json.loads(path.read_text(encoding="utf-8"))
    judged = found.get("evaluation", found)
    counts = [sum(row) for row in judged["quality"]["confusion"]]
    accuracy = judged["quality"]["figures"]["accuracy"]
    bag = max(baseline["figures"]["accuracy"]["value"] for baseline in judged["baselines"])
    model = f"{accuracy['value']:.3f} ({accuracy['low']:.3f}-{accuracy['high']:.3f})"
    print(f"{path.stem:<4} {sum(counts):6}  {max(counts) / sum(counts):21.3f}  {bag:11.3f}  {model}")
