"""A sample of Census-Income in the publisher's layout, for slow tests on real rows; brought as
`automtl data get` brings it.
"""

from pathlib import Path

from automtl.data.raw.download import fetch
from automtl.data.spec.dataset import default_data_dir


def sample(folder: Path, *, train: int, test: int) -> Path:
    """Some rows of each file, evenly from the whole of it; the data folder that holds them."""
    home = folder / "raw" / "census_income"
    home.mkdir(parents=True)
    for path, count in zip(
        fetch("census_income", data_dir=default_data_dir()), (train, test), strict=True
    ):
        lines = path.read_bytes().splitlines(keepends=True)
        (home / path.name).write_bytes(b"".join(lines[:: len(lines) // count][:count]))
    return folder
