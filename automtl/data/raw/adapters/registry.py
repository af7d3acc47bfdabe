"""The table from an adapter's name to its reader."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from automtl.data.raw.adapters._ali_ccp import read_ali_ccp
from automtl.data.raw.adapters._aliexpress import read_aliexpress
from automtl.data.raw.adapters._behaviours import read_ijcai15, read_userbehavior
from automtl.data.raw.adapters._census_income import read_census_income
from automtl.data.raw.adapters._movielens import read_movielens
from automtl.data.raw.sources import Piece, Reading, read_pieces
from automtl.data.spec.dataset import Csv, DatasetConfig
from automtl.errors import ConfigError
from automtl.strict import nearest

Say = Callable[[str], None]
Reader = Callable[[Sequence[Path], Mapping[str, Reading], Csv, Say], Iterator[Piece]]

ADAPTERS: dict[str, Reader] = {
    "ali_ccp": read_ali_ccp,
    "aliexpress": read_aliexpress,
    "census_income": read_census_income,
    "ijcai15": read_ijcai15,
    "movielens": read_movielens,
    "userbehavior": read_userbehavior,
}


def _plain(
    paths: Sequence[Path], readings: Mapping[str, Reading], csv: Csv, say: Say
) -> Iterator[Piece]:
    return read_pieces(paths, readings, csv, say)


def reader_of(config: DatasetConfig) -> Reader:
    """The reader of a data set's files.

    Raises:
        ConfigError: the adapter is unknown.
    """
    if config.adapter is None:
        return _plain
    if config.adapter not in ADAPTERS:
        raise ConfigError(
            f"{config.name}: adapter",
            "must be known",
            config.adapter,
            nearest(config.adapter, ADAPTERS),
        )
    return ADAPTERS[config.adapter]
