"""Writes metrics.json: scores with ties, and what scikit-learn and the Handbook's score.py say of them.

    pip install scikit-learn==1.9.1 numpy pandas pyarrow
    python metrics.py PATH/OF/score.py
"""
import importlib.util, json, os, sys
import numpy as np, pandas as pd
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import average_precision_score, roc_auc_score

spec = importlib.util.spec_from_file_location("score", sys.argv[1])
score = importlib.util.module_from_spec(spec)
spec.loader.exec_module(score)
rng = np.random.default_rng(3)
sets = []
for n, values, days, cards, k in [(400, 12, 5, 60, 10), (600, 100000, 7, 40, 7), (50, 3, 2, 9, 4)]:
    s = rng.integers(0, values, n)
    y = (rng.random(n) < 0.05 + 0.4 * s / values).astype(int)
    day, card = np.sort(rng.integers(0, days, n)), rng.integers(0, cards, n)
    t = pd.DataFrame({"score": s, "TX_FRAUD": y, "day": day, "CUSTOMER_ID": card})
    iso = IsotonicRegression(out_of_bounds="clip").fit(s, y)
    at = [int(v) for v in np.linspace(0, values, 20)]
    sets.append({
        "scores": s.tolist(), "positive": y.tolist(), "days": day.tolist(), "cards": card.tolist(),
        "k": k, "auc": roc_auc_score(y, s), "average_precision": average_precision_score(y, s),
        "card_precision": score.card_precision(t, k),
        "isotonic_at": at, "isotonic": iso.predict(at).tolist(),
    })
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "metrics.json"), "w") as f:
    json.dump(sets, f)
