"""That somebody has signed in, told to programs that may not start Python to find out.

libsasl2 loads the plugin into every program that has SASL, and never tries a second mechanism after
a first that failed. So the plugin offers a person nothing who has never signed in, or has signed
out: their passwords work as if it were not there. It looks for a symbolic link in the folder
``signed-in`` of the person's data folder that leads to an existing file: each store of keys that
has an identity in it has a link there. One whose certificate has expired counts, since its owner
is to be told to sign in again. The link is to the store: one that is deleted counts no more.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import platformdirs

from browserid_sasl.config.home import in_home
from browserid_sasl.config.sections import APPLICATION
from browserid_sasl.errors import Code, StoreError
from browserid_sasl.identity.ports import IdentityStore
from browserid_sasl.private_files import make_folders

FOLDER: Final = "signed-in"


def tell(identities: IdentityStore, file: Path, place: Path | None = None) -> None:
    """Tell whether somebody in a store has signed in. To be called when that may have changed.

    :param file: of the store.
    :param place: the folder to tell it in; None for where programs look, if there is a home.
    :raises StoreError: it cannot be told, or the store cannot be read.
    """
    folder = place or in_home(lambda: platformdirs.user_data_path(APPLICATION) / FOLDER)
    if folder is None:
        return  # the plugin finds no folder either, and offers nothing
    link = folder / hashlib.sha256(os.fsencode(file.absolute())).hexdigest()[:16]
    try:
        if not _anybody(identities):
            link.unlink(missing_ok=True)
        # Not otherwise: meanwhile somebody may have signed in, and told it before the link went.
        if _anybody(identities):
            make_folders(link.parent)
            # Its name is made of where it leads: one that is there is the same.
            with suppress(FileExistsError):
                link.symlink_to(file.absolute())
    except OSError as error:
        raise StoreError(
            Code.CACHE_ERROR,
            f"programs with the plugin cannot be told who is signed in: {link}: {error.strerror}",
            "make this folder one that you can write to, or set XDG_DATA_HOME to one",
        ) from None


def _anybody(identities: IdentityStore) -> bool:
    return any(record.certificate for record in identities.all())
