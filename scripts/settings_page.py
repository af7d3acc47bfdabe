"""Write docs/settings.md from the settings' own descriptions."""

from pathlib import Path

from automtl.config_reference import page
from automtl.files import write_text

if __name__ == "__main__":
    write_text(Path(__file__).parents[1] / "docs" / "settings.md", page())
