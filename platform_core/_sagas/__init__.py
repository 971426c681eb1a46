"""
Sagas: commands of several modules that all take effect, or none in the end; private to the kernel.

    definitions   what the installed modules declare, by name and version
    moves         what comes next, and what becomes of a run when it happened: rules without I/O
    store         how a run lies in the database, and the writes that carry it on
    runner        takes the steps, for a worker or for somebody who waits
    housekeeping  deletes runs that ended long ago, releases those that wait for a module that was taken out

`docs/decisions/0015-a-saga-is-a-row-and-its-delivery.md` says why it is so.
"""

from platform_core._sagas.definitions import Contribution, Definitions, command_of
from platform_core._sagas.runner import SagaRunner
from platform_core._sagas.store import UowSagas

__all__ = ["Contribution", "Definitions", "SagaRunner", "UowSagas", "command_of"]
