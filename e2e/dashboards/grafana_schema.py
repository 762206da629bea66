r"""Reads each dashboard into the types of Grafana's Foundation SDK, and back: what those do not know is a failure.

The SDK is generated from Grafana's own schemas. It is no dependency of ours:

    scripts/uv run --no-project --with 'grafana-foundation-sdk==1769699379!11.6.0' \
      python e2e/dashboards/grafana_schema.py
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "charts" / "modelpress" / "dashboards"
# Grafana writes a variable's query so as well, and its schema leaves it out.
UNKNOWN_TO_THE_SCHEMA = "definition"


def list_lost(given: Any, found: Any, path: str = "") -> Iterator[str]:
    """Paths of what is not in `found` as it was given; what is there besides does not matter."""
    if isinstance(given, dict) and isinstance(found, dict):
        for key, value in given.items():
            if key in found:
                yield from list_lost(value, found[key], f"{path}/{key}")
            elif key != UNKNOWN_TO_THE_SCHEMA:
                yield f"{path}/{key}"
    elif isinstance(given, list) and isinstance(found, list) and len(given) == len(found):
        for place, (one, other) in enumerate(zip(given, found, strict=True)):
            yield from list_lost(one, other, f"{path}/{place}")
    elif given != found:
        yield path


def main() -> int:
    """Say what is lost; 0 when that is nothing."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    lost = []
    for path in sorted(FOLDER.glob("*.json")):
        given = json.loads(path.read_text())
        found = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(given)))
        lost += [f"{path.name}: {each}" for each in list_lost(given, found)]
        print(f"{path.name}: {len(given['panels'])} panels read")
    print("\n".join(lost), file=sys.stderr, end="\n" if lost else "")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
