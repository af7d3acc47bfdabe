"""README's example is accepted by the code that reads it."""

import re

from automtl.data.dataset import DatasetConfig
from automtl.strict import build, parse_yaml
from tests.house import ROOT


def test_the_data_set_of_the_readme_is_a_data_set() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    configs = [build(DatasetConfig, parse_yaml(text, "README.md"), "README.md") for text in examples]
    assert [config.name for config in configs] == ["clicks"]
