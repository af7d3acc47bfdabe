"""DataFrames as data sets: written down once, as Parquet with a YAML beside it, so that a run can be resumed and judged later."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from automtl.data.dataset import DatasetConfig, keeps_data
from automtl.data.encoding import checksum
from automtl.data.prints import fingerprint
from automtl.errors import DataError
from automtl.files import StagedFolder, scratch_folder, write_json, write_table
from automtl.strict import build

ROWS, YAML = "rows.parquet", "dataset.yaml"


@keeps_data
def keep_frame(frame: pd.DataFrame, settings: DatasetConfig | Mapping[str, Any], *, data_dir: Path) -> Path:
    """Write a DataFrame and its settings below `<data_dir>/frames`, under their content's hash; gives the data set's YAML.

    Args:
        frame: the rows; its index is left out.
        settings: the data set, as its YAML file would say it; `files` is not needed and not read.
        data_dir: where raw and prepared data are kept.

    Raises:
        ConfigError: the settings break a rule.
        DataError: a column that no file can hold.
    """
    plain = settings.model_dump(mode="json") if isinstance(settings, DatasetConfig) else dict(settings)
    plain["files"] = {"train": ROWS}
    config = build(DatasetConfig, plain, "data set of a DataFrame")
    try:
        table = pa.Table.from_pandas(frame.rename(columns=str), preserve_index=False).replace_schema_metadata()
    except pa.ArrowException as error:
        raise DataError("DataFrame", "must have columns of one type each", " ".join(str(error).split())[:200], "mend the column") from error
    folder = data_dir.absolute() / "frames"
    with scratch_folder(folder) as scratch:
        write_table(scratch / ROWS, table)
        content = str(fingerprint(scratch / ROWS)["sha256"])
    home = folder / f"{config.name}-{checksum([plain, content])[:12]}"
    if not (home / YAML).exists():
        with StagedFolder(home) as staged:
            write_table(staged / ROWS, table)
            write_json(staged / YAML, plain)  # JSON is YAML
    return home / YAML
