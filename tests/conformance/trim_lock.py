"""Takes out of a package-lock.json what is no part of the pin: where packages come from and who pays for them."""

import json
import sys
from pathlib import Path


def main() -> None:
    """Write the lock that is named on the command line without it."""
    path = Path(sys.argv[1])
    lock = json.loads(path.read_text(encoding="utf-8"))
    for package in lock["packages"].values():
        for key in ("resolved", "funding"):
            package.pop(key, None)
    path.write_text(json.dumps(lock, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
