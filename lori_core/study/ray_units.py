"""Units of a sweep as tasks of a Ray cluster (the extra "sweep"), as many at once as it has room for.

A unit stays a run in its folder: every machine of the cluster has to see that folder under the same path, and needs
this package. A unit whose worker is lost is given to another one, which goes on from the run's last checkpoint.
"""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from lori_core.errors import ConfigError, LoRIError, RunError
from lori_core.study.runs import Run
from lori_core.study.sweep import Engine, done

RETRIES = 3  # of a unit whose worker is lost
SHARED = 100_000_000  # bytes of memory that a cluster of one's own sets aside: units pass a path and an error
CONNECTED = 5.0  # seconds within which a cluster has to answer


@contextmanager
def on_ray(address: str, gpus: float | None = None) -> Iterator[Engine]:
    """An engine for sweep.go_on(), while the cluster is connected.

    Args:
        address: host:port of a cluster; "auto": the one that was started on this machine; "local": one that ends here.
        gpus: of each unit; .5 puts two on one. None: one where the cluster has any, else none.
    Raises:
        ConfigError: Ray is not installed, or no cluster answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError:
        raise ConfigError("no_ray") from None
    try:
        if ":" in address:  # Ray itself tries a wrong one for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), CONNECTED).close()
        own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": SHARED} if address == "local" else {}
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError("ray_unreachable", got=address, reason=error) from None

    def units(runs: Sequence[Run]) -> Iterator[tuple[Run, LoRIError | None]]:
        each = gpus if gpus is not None else float("GPU" in ray.cluster_resources())
        task = ray.remote(num_gpus=each, max_retries=RETRIES)(_unit)
        waiting: dict[Any, Run] = {task.remote(str(run.path.resolve()), os.getcwd()): run for run in runs}
        while waiting:
            (ended, *_), _ = ray.wait(list(waiting))
            try:
                error = ray.get(ended)
            except RayError as lost:
                error = RunError("worker_lost", retries=RETRIES, reason=lost)
            yield waiting.pop(ended), error

    try:
        yield units
    finally:
        ray.shutdown()


def _unit(path: str, folder: str) -> LoRIError | None:
    """On a worker, in the folder in which the command was given: a spec may name files from there."""
    with suppress(OSError):  # a machine that does not have it
        os.chdir(folder)
    try:
        return done(Run.open(path))
    except RunError as error:
        return error
