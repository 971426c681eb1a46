"""What a password may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from platform_core.errors import InvalidInput

SHORTEST: Final = 8
LONGEST: Final = 1024


@dataclass(frozen=True)
class PasswordPolicy:
    """
    8–1,024 characters, not a common one, not the own address or username; nothing else.

    Every byte counts: nothing is cut, trimmed or normalised, so `é` typed in two ways is two passwords.

    Attributes:
        common: passwords that everybody tries first, case-folded.
    """

    common: frozenset[str]

    def check(self, password: str, *, email: str, username: str, name: str = "password") -> None:
        """
        Refuse a password that breaks the rule, before any costly hashing.

        Args:
            name: the field of the body to point at.

        Raises:
            InvalidInput: and why.
        """
        if len(password) < SHORTEST:
            raise InvalidInput.of(name, f"has fewer than {SHORTEST} characters", "password_too_short")
        if len(password) > LONGEST:
            raise InvalidInput.of(name, f"has more than {LONGEST} characters", "password_too_long")
        folded = password.casefold()
        if folded in self.common:
            raise InvalidInput.of(name, "is one of those that everybody tries first", "password_too_common")
        if folded in (email.casefold(), username.casefold()):
            raise InvalidInput.of(name, "is the e-mail address or the username", "password_is_own_name")
