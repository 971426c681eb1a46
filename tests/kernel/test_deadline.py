"""A plugin has so long to load; a machine that is busy with other things is not held against it."""

import time

import pytest

from platform_core._deadline import PluginHung, deadline


def work(seconds: float, share: float) -> None:
    """Compute for a share of the time, and get no time for the rest of it, as on a busy machine."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        busy_until = time.process_time() + 0.02 * share
        while time.process_time() < busy_until:
            pass
        time.sleep(0.02 * (1 - share))


def test_who_gets_on_slowly_may_take_longer() -> None:
    with deadline(0.5):
        work(0.9, share=0.25)


def test_who_gets_on_slowly_for_ever_is_stopped_too() -> None:
    began = time.monotonic()
    with pytest.raises(PluginHung), deadline(0.2):
        work(30, share=0.15)
    assert time.monotonic() - began < 10


def test_who_sleeps_is_stopped_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(PluginHung, match=r"longer than 0\.3 s"), deadline(0.3):
        time.sleep(30)
    assert time.monotonic() - began < 10


def test_who_loops_is_stopped_and_the_place_is_named() -> None:
    def loop() -> None:
        while True:
            pass

    with pytest.raises(PluginHung, match=r"in test_deadline\.py:\d+"), deadline(0.3):
        loop()
