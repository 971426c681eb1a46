"""Wording: an administrator's own, and in which order languages are tried."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from notification.contracts import TemplateSource
from platform_core.domain import Aggregate


@dataclass(eq=False, kw_only=True)
class Template(Aggregate):
    """An administrator's own wording of one kind, in one channel and language."""

    kind: str
    channel: str
    locale: str
    subject: str
    text: str
    html: str | None

    @property
    def source(self) -> TemplateSource:
        """The same as a contribution."""
        return TemplateSource(
            kind=self.kind,
            channel=self.channel,
            locale=self.locale,
            subject=self.subject,
            text=self.text,
            html=self.html,
        )

    def replace(self, source: TemplateSource, now: datetime) -> None:
        """Say it differently."""
        self.kind, self.channel, self.locale = source.key
        self.subject, self.text, self.html = source.subject, source.text, source.html
        self.touch(now)


def locale_chain(locale: str | None, fallback: str) -> tuple[str, ...]:
    """`de-AT` → `de-at`, `de`, and the fallback: in which order wording is looked for."""
    parts = (locale or "").replace("_", "-").lower().split("-")
    chain = ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return tuple(dict.fromkeys([*(name for name in chain if name), fallback]))
