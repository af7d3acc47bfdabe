"""The errors of splits by time, for test_errors.py: name -> (what is wrong, command, exit status,
parts of the message).
"""

import re
from pathlib import Path

SEARCH = ["search", "data/tiny.yaml", "--space", "automtl_small", "--out", "new", "--fast-dev-run"]


def by_time(time, labels=600):
    """Rows with a column of times, split by it: `time` gives that of the i-th row. From row
    `labels` on "buy" is not known yet.
    """

    def act():
        yaml, csv = Path("data/tiny.yaml"), Path("data/rows.csv")
        head, *lines = csv.read_text().splitlines()
        lines = [
            line if i < labels else re.sub(r",[^,]*$", ",", line) for i, line in enumerate(lines)
        ]
        csv.write_text(
            "\n".join([f"{head},time", *(f"{line},{time(i)}" for i, line in enumerate(lines))])
            + "\n"
        )
        yaml.write_text(yaml.read_text().replace("kind: random", "kind: time, column: time"))

    return act


TIME_ERRORS = {
    "few-times": (
        by_time(lambda i: 20_000 + (i >= 200) + (i >= 400) + (i >= 520)),
        SEARCH,
        2,
        [
            "validation 0, test 200, of 4 distinct times; change split: for example train: "
            "0.6667, validation: 0.2, test: 0.1333, or kind: random"
        ],
    ),
    "times-of-two-units": (
        by_time(lambda i: 1_700_000_000 * 1000 ** (i % 2)),
        SEARCH,
        2,
        [
            "must hold times in one unit",
            "row 1 (one of 300 in seconds)",
            "row 2 (one of 300 in milliseconds)",
        ],
    ),
    "no-labels-to-choose-by": (
        by_time(lambda i: i, labels=300),
        SEARCH,
        2,
        ["tiny: A rows (the alpha rows that move alpha): must have a label", "of 'buy'"],
    ),
}
