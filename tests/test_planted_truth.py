"""The planted-truth generator: its labels follow the inner products, and its rule judges as it
says.
"""

import importlib.util

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from tests.house import ROOT

spec = importlib.util.spec_from_file_location("planted_truth", ROOT / "scripts/planted_truth.py")
planted = importlib.util.module_from_spec(spec)
spec.loader.exec_module(planted)


def test_ids_alone_say_little_of_the_labels_and_inner_products_much():
    frame = planted.generate(6000, seed=1)
    rng = np.random.default_rng(1)  # the generator's own first draws
    vectors = rng.normal(size=(planted.FIELDS, planted.IDS, planted.LATENT))
    ids = frame[[f"f{f}" for f in range(planted.FIELDS)]]
    z = [vectors[f][ids[f"f{f}"]] for f in range(planted.FIELDS)]
    products = np.stack(
        [(z[i] * z[j]).sum(1) for i in range(planted.FIELDS) for j in range(i + 1, planted.FIELDS)],
        axis=1,
    )
    one_hot = pd.get_dummies(ids.astype(str)).to_numpy(float)
    models = [
        LogisticRegression(C=0.1, max_iter=300).fit(x[:4000], frame.y0[:4000])
        for x in (one_hot, products)
    ]
    scores = [
        m.score(x[4000:], frame.y0[4000:]) for m, x in zip(models, (one_hot, products), strict=True)
    ]
    assert scores[0] < 0.6 and scores[1] > 0.7, scores
    assert planted.generate(50, seed=3).equals(planted.generate(50, seed=3))
    assert 0.4 < frame.y0.mean() < 0.6


def test_the_rule_asks_for_both_found_and_better():
    rows = [
        {
            "strategy": "random_sampling",
            "seed": s,
            "interaction": "skip",
            "loss": 0.6 + 0.001 * (s % 3),
        }
        for s in range(10)
    ]
    for name, hits, gain in (
        ("both", 8, 0.1),
        ("found", 8, 0.0),
        ("better", 6, 0.1),
        (planted.DEFAULT, 9, 0.1),
    ):
        rows += [
            {
                "strategy": name,
                "seed": s,
                "interaction": planted.PLANTED if s < hits else "skip",
                "loss": 0.6 - gain + 0.0011 * (s % 2),
            }
            for s in range(10)
        ]
    made = planted.verdicts(pd.DataFrame(rows)).set_index("strategy").passed.to_dict()
    others = {"found": False, "better": False, planted.DEFAULT: False, "random_sampling": False}
    assert made == {"both": True, **others}
