"""Writes the small ONNX models beside this file, and what their makers' libraries say of some rows.

    pip install scikit-learn==1.9.1 lightgbm==4.7.0 xgboost==3.2.0 skl2onnx==1.20.0 \
        onnxmltools onnx==1.23.2
    python export_models.py
"""
import json, os
import numpy as np
import lightgbm, xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as MlFloat
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ["amount", "count", "gap"]
rng = np.random.default_rng(5)


def rows(n, holes):
    x = rng.random((n, 3)).astype(np.float32) * np.float32([1000, 20, 1])
    x[:, 1] = np.floor(x[:, 1])
    if holes:
        x[rng.random(n) < 0.2, 2] = np.nan
    return x


def labels(x):
    gap = np.nan_to_num(x[:, 2], nan=0.9)
    return (x[:, 0] / 1000 + x[:, 1] / 20 + gap + rng.normal(0, 0.2, len(x)) > 1.8).astype(int)


def keep(name, onnx_model, model, x):
    with open(os.path.join(HERE, name + ".onnx"), "wb") as f:
        f.write(onnx_model.SerializeToString())
    said[name] = {
        "rows": [[None if np.isnan(v) else float(v) for v in row] for row in x],
        "probabilities": [float(p) for p in model.predict_proba(x)[:, 1]],
    }


said = {}
train, holed = rows(600, False), rows(600, True)
y, y_holed = labels(train), labels(holed)
test, test_holed = rows(25, False), rows(25, True)
one = [("input", MlFloat([None, 3]))]
each = [(name, FloatTensorType([None, 1])) for name in NAMES]

m = lightgbm.LGBMClassifier(n_estimators=12, num_leaves=8, verbose=-1).fit(holed, y_holed)
keep("lightgbm", convert_lightgbm(m, initial_types=one, target_opset=15), m, test_holed)
m = xgboost.XGBClassifier(n_estimators=12, max_depth=3).fit(holed, y_holed)
keep("xgboost", convert_xgboost(m, initial_types=one, target_opset=15), m, test_holed)
m = RandomForestClassifier(8, max_depth=4, random_state=1).fit(train, y)
keep("forest", convert_sklearn(m, initial_types=[("input", FloatTensorType([None, 3]))], target_opset=15), m, test)
m = make_pipeline(StandardScaler(), LogisticRegression()).fit(train, y)
keep("logistic", convert_sklearn(m, initial_types=each, target_opset=15), m, test)
with open(os.path.join(HERE, "onnx.json"), "w") as f:
    json.dump(said, f, indent=1)
