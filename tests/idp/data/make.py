"""Makes `passkeys.sqlite` and `passkeys.json`, as the first release with passkeys did.

The database has three passkeys of two accounts; the JSON has, for each, what a browser answers with
it at a time `now`. Nothing makes them again: later releases have to open what this one wrote.

    python -m tests.idp.data.make FOLDER
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from tests.idp.test_passkeys import BOB, NOW, Site
from tests.support.authenticator import BACKED_UP, ELIGIBLE, PRESENT, VERIFIED, Authenticator
from tests.support.provider import ALICE


def main(folder: Path) -> None:
    """Make both files."""
    site = Site(folder)
    synced = PRESENT | VERIFIED | ELIGIBLE | BACKED_UP
    owners = [
        (site.enrol(Authenticator(flags=synced), name="Phone"), ALICE),
        (site.enrol(Authenticator(algorithm=-8, counter=3), name="Key"), ALICE),
        (site.enrol(Authenticator(algorithm=-257), BOB, name="Laptop"), BOB),
    ]
    answers = [
        {
            "email": email,
            "now": NOW + 2000,
            "answer": json.loads(
                device.get(site.passkeys.authentication_options(None, NOW + 1000))
            ),
        }
        for device, email in owners
    ]
    site.database.close()
    with closing(sqlite3.connect(folder / "provider.sqlite")) as file:
        file.execute("PRAGMA journal_mode = DELETE")
        file.execute("PRAGMA page_size = 1024")
        file.execute("VACUUM")
    (folder / "provider.sqlite").rename(folder / "passkeys.sqlite")
    (folder / "passkeys.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
