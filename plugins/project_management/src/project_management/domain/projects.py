"""A project: what it is about, how it stands, what it may cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from platform_core.domain import Aggregate, Money
from platform_core.errors import InvalidInput
from platform_core.money import checked, exact
from platform_core.texts import human_name, optional_text
from project_management.contracts import (
    ProjectCreated,
    ProjectDeleted,
    ProjectStatus,
    ProjectStatusChanged,
    ProjectUpdated,
)
from project_management.domain.errors import CurrencyMismatch, LastOwner
from project_management.domain.roles import Membership

ACTIVE: Final = "active"


@dataclass(eq=False, kw_only=True)
class Project(Aggregate):
    """
    A project.

    Attributes:
        owner_id: one of its owners.
        currency: what it counts in: set by its first budget or expense; the database keeps expenses in it.
    """

    owner_id: UUID
    name: str
    description: str | None = None
    status: ProjectStatus = ACTIVE
    budget_amount: Decimal | None = None
    currency: str | None = None
    start_date: date | None = None
    end_date: date | None = None

    @classmethod
    def create(
        cls,
        *,
        project_id: UUID,
        owner_id: UUID,
        name: str,
        description: str | None,
        budget: Money | None,
        start_date: date | None,
        end_date: date | None,
        now: datetime,
    ) -> Project:
        """
        Begin a project.

        Raises:
            InvalidInput: an end before the start, or a budget that is none.
        """
        project = cls(
            id=project_id,
            created_at=now,
            updated_at=now,
            owner_id=owner_id,
            name=human_name(name, "name"),
            description=optional_text(description, "description"),
            start_date=start_date,
            end_date=end_date,
        )
        project._set_budget(budget)
        project._check_dates()
        project.record(ProjectCreated(project_id=project_id, name=project.name, owner_id=owner_id))
        return project

    @property
    def budget(self) -> Money | None:
        if self.budget_amount is None or self.currency is None:
            return None
        return exact(self.budget_amount, self.currency)

    def describe(
        self,
        *,
        name: str,
        description: str | None,
        budget: Money | None,
        start_date: date | None,
        end_date: date | None,
        now: datetime,
    ) -> None:
        """
        Say anew what the project is; raises as `create` does.

        Whether the currency may still change is decided by the database: not once money was spent in it.
        """
        before = self._description()
        # what stays is not judged anew: it may be from before there was a rule
        if name != self.name:
            self.name = human_name(name, "name")
        if description != self.description:
            self.description = optional_text(description, "description")
        self.start_date, self.end_date = start_date, end_date
        self._set_budget(budget)
        self._check_dates()
        after = self._description()
        changed = [field for field, value in after.items() if value != before[field]]
        if changed:
            self.touch(now)
            self.record(ProjectUpdated(project_id=self.id, name=self.name, fields=changed))

    def change_status(self, status: ProjectStatus, now: datetime) -> None:
        """Put on hold, complete, archive or take up again; what it is already changes nothing."""
        if status == self.status:
            return
        before, self.status = self.status, status
        self.touch(now)
        self.record(ProjectStatusChanged(project_id=self.id, name=self.name, before=before, after=status))

    def spend(self, amount: Money, now: datetime) -> Money:
        """
        Return what is spent, in the currency of the project; a project without one counts in this one from now on.

        Raises:
            CurrencyMismatch: the project counts in another currency.
            InvalidInput: an amount that is none.
        """
        spent = checked(amount, "amount", above_zero=True)
        if self.currency is None:
            self.currency = spent.currency
            self.touch(now)
        if spent.currency != self.currency:
            raise CurrencyMismatch(f"This project counts in {self.currency}, not in {spent.currency}.")
        return spent

    def release_owner(self, user_id: UUID, owners: Iterable[Membership], now: datetime) -> None:
        """
        Let an owner be one no longer.

        The project is saved whatever happens to its fields, so two owners who go at the same time meet at its version,
        and the one who comes second sees that the other has gone.

        Args:
            owners: all who can log in, the longest first.

        Raises:
            LastOwner: there is no other.
        """
        left = [owner.user_id for owner in owners if owner.user_id != user_id]
        if not left:
            raise LastOwner
        if self.owner_id == user_id:
            self.owner_id = left[0]
        self.touch(now)

    def delete(self, now: datetime) -> None:
        super().delete(now)
        self.record(ProjectDeleted(project_id=self.id, name=self.name))

    def _description(self) -> dict[str, object]:
        return {
            "name": self.name,
            "description": self.description,
            "budget": self.budget,
            "start_date": self.start_date,
            "end_date": self.end_date,
        }

    def _set_budget(self, budget: Money | None) -> None:
        if budget is None:
            self.budget_amount = None
            return
        budget = checked(budget, "budget")
        self.budget_amount, self.currency = budget.amount, budget.currency

    def _check_dates(self) -> None:
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise InvalidInput.of("end_date", "is before the start", "before_start")
