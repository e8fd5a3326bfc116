"""How the database keeps what a person is asked to consent to."""

from __future__ import annotations

from sqlalchemy.orm import Mapped

from browserid_sasl.idp.wishes import Wish, key_from_text, key_to_text


class WishColumns:
    """The columns of a wish, for tables whose rows are about one."""

    email: Mapped[str]
    public_key: Mapped[str]
    machine: Mapped[str]
    client: Mapped[str]

    @property
    def wish(self) -> Wish:
        """The wish that a row is about."""
        return Wish(self.email, key_from_text(self.public_key), self.machine, self.client)

    @wish.setter
    def wish(self, wish: Wish) -> None:
        self.email = wish.email
        self.public_key = key_to_text(wish.public_key)
        self.machine = wish.machine
        self.client = wish.client
