"""Write docs/settings.md and docs/data_yaml.md from the settings' own descriptions."""

from pathlib import Path

from automtl.config_reference import DATASET, RUN
from automtl.files import write_text

if __name__ == "__main__":
    docs = Path(__file__).parents[1] / "docs"
    write_text(docs / "settings.md", RUN.page())
    write_text(docs / "data_yaml.md", DATASET.page())
