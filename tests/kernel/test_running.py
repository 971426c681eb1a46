"""A kernel that ran once can run again."""

from platform_core.app import Kernel
from platform_core.settings import read_settings
from platform_core.testing import RunningPlatform


async def test_after_the_end_the_application_starts_the_services_anew(p: RunningPlatform) -> None:
    kernel = Kernel.load(read_settings(p.environment), p.environment)
    async with kernel.running(listen=lambda: None):
        assert kernel.standings.is_trusted
    assert not kernel.standings.is_trusted
    app = kernel.app()
    async with app.router.lifespan_context(app):
        assert kernel.standings.is_trusted
