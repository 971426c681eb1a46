"""What the fixture `platform` promises to module authors."""

from platform_core.testing import PlatformFactory


async def test_the_kernel_alone_runs_without_any_plugin(platform: PlatformFactory) -> None:
    async with platform() as p:
        assert [plugin.name for plugin in p.kernel.active] == ["platform", "no_plugin"]
        assert await p.events() == []
        assert await p.deliver() == []
