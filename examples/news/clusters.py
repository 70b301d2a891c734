"""What is in each cluster: reads results as `tagstream tail --json` shows them, and sets their labels beside it."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict


def main() -> None:
    labels: dict[int | None, Counter[str]] = defaultdict(Counter)
    names: dict[int | None, tuple[int, str]] = {}
    for line in sys.stdin:
        value = json.loads(line)["value"]
        for cluster in value.get("clusters", ()):  # a dead letter has none
            labels[cluster["id"]][value["label"]] += 1
            if cluster["name"]:  # the newest name: an id stays, its most typical words may change
                names[cluster["id"]] = max(names.get(cluster["id"], (0, "")), (cluster["version"], cluster["name"]))
    print("cluster  most typical words             articles   mostly")
    for number, found in sorted(labels.items(), key=lambda item: -item[1].total()):
        name = "not assigned" if number is None else names.get(number, (0, ""))[1]
        label, count = found.most_common(1)[0]
        share = count / found.total()
        print(f"{number or '-'!s:>7}  {name[:30]:30} {found.total():>8,}   {label} {share:.0%}")


if __name__ == "__main__":
    main()
