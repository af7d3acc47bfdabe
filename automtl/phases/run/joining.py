"""Joins the processes that train one network together: the share of each, and what they must have
in common.
"""

from importlib.metadata import version
from typing import Any

import torch

from automtl import files
from automtl.config import RunConfig, RuntimeSection
from automtl.data.store.encoding import Encoding
from automtl.errors import ConfigError
from automtl.phases.run.device import cores
from automtl.ranks import Ranks, join, place, world_size
from automtl.runs.manifest import code_version

LEAST_ROWS = 4  # of a rank in a batch: the last one may give two to the one after it


def share_of(name: str, batch_size: int, size: int) -> int:
    """The rows of a step that each of several ranks takes.

    Args:
        name: of the setting.
        batch_size: rows of a step, over all ranks.
        size: how many ranks there are.

    Raises:
        ConfigError: they cannot be shared evenly, or are too few.
    """
    if size > 1 and (batch_size % size or batch_size < LEAST_ROWS * size):
        rule = f"must be a multiple of the {size} ranks, at least {LEAST_ROWS} rows each"
        fix = f"set {name}={max(1, round(batch_size / size / LEAST_ROWS)) * LEAST_ROWS * size}"
        raise ConfigError(name, rule, batch_size, fix)
    return batch_size // size


def check_shares(config: RunConfig, size: int, *, search: bool, retrain: bool) -> None:
    """Refuse steps that so many ranks cannot share.

    Raises:
        ConfigError: there are such.
    """
    races = search and config.search.selection == "race"
    if search and "batch_size" not in config.search.idle:
        share_of("search.batch_size", config.search.batch_size, size)
    if retrain or races:
        share_of("retrain.batch_size", config.retrain.batch_size, size)


def of_rank(runtime: RuntimeSection) -> RuntimeSection:
    """The machine's settings for this rank: its own device, and its part of the processors.

    Raises:
        ConfigError: there are more ranks than devices, or a device was named for all of them.
    """
    if world_size() == 1:
        return runtime
    number, count = place()
    device, threads = runtime.device, runtime.threads or max(1, cores() // count)
    if device.startswith("cuda:"):
        rule = "must leave the choice to the ranks, which take one each"
        raise ConfigError("runtime.device", rule, device, "use --device cuda")
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        if number >= torch.cuda.device_count():
            rule = f"must have a device for each of the {count} ranks of a machine"
            raise ConfigError("runtime.device", rule, torch.cuda.device_count(), "start fewer")
        torch.cuda.set_device(number)
        device = f"cuda:{number}"
    return runtime.model_copy(update={"device": device, "threads": threads})


def come_together(config: RunConfig, encoding: Encoding, machine: dict[str, Any]) -> Ranks:
    """Join the ranks that this process was started with, which must start from the same. From then
    on all but the first one write nothing.

    Raises:
        ConfigError: they do not.
        RankLost: the others do not come.
    """
    ranks = join(torch.device(machine["device"]).type, config.runtime.collective_timeout_s)
    if ranks.size == 1:
        return ranks
    if not ranks.first:
        files.follow()
    machine |= {"ranks": ranks.size}
    schema = encoding.schema
    ranks.same("data", [schema.data_hash, schema.split_hash])
    settings = config.model_dump(mode="json", exclude={"data"})
    for own in ("device", "threads"):
        del settings["runtime"][own]
    ranks.same("settings", settings)
    ranks.same("versions", [code_version(), *map(version, ("torch", "numpy"))])
    return ranks
