"""Writes the small ONNX models beside this file, and what their makers' libraries say of some rows,
or onnxruntime where it is held to them here.

    pip install scikit-learn==1.9.1 lightgbm==4.7.0 xgboost==3.2.0 skl2onnx==1.20.0 \
        onnxmltools==1.16.0 onnx==1.23.2 onnxruntime==1.32.0 pandas
    python export_models.py
"""
import json, os
import numpy as np
import lightgbm, onnxruntime, pandas, xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as MlFloat
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm as of_lightgbm
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost as of_xgboost
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes as shapes
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

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
        "rows": [[None if np.isnan(v) else float(v) for v in row] for row in np.asarray(x)],
        "probabilities": [float(p) for p in model.predict_proba(x)[:, 1]],
    }


def run(name, onnx_model, model, x):
    """As keep, with what onnxruntime says, which is near what the library says."""
    frame = pandas.DataFrame(x, columns=NAMES)
    named = len(onnx_model.graph.input) == 3
    keep(name, onnx_model, model, frame if named else x)
    feeds = {n: x[:, [at]] for at, n in enumerate(NAMES)} if named else {"input": x}
    found = onnxruntime.InferenceSession(onnx_model.SerializeToString()).run(None, feeds)[1]
    found = [float(row[1]) for row in found]
    assert np.abs(np.array(found) - said[name]["probabilities"]).max() < 1e-5, name
    said[name]["probabilities"] = found


def named(zipmap, *steps):
    """A pipeline that takes one input a feature, as rules name them."""
    columns = ColumnTransformer([("all", "passthrough", NAMES)])
    holes = any(isinstance(s, (SimpleImputer, lightgbm.LGBMModel, xgboost.XGBModel)) for s in steps)
    x, y_x = (holed, y_holed) if holes else (train, y)
    model = make_pipeline(columns, *steps).fit(pandas.DataFrame(x, columns=NAMES), y_x)
    made = convert_sklearn(model, initial_types=each, options={id(steps[-1]): {"zipmap": zipmap}},
                           target_opset={"": 15, "ai.onnx.ml": 3})
    return made, model, test_holed if holes else test


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

options = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
update_registered_converter(lightgbm.LGBMClassifier, "LGBM", shapes, of_lightgbm, options=options)
update_registered_converter(xgboost.XGBClassifier, "XGB", shapes, of_xgboost, options=options)
leaves = lightgbm.LGBMClassifier(n_estimators=4, num_leaves=4, verbose=-1)
m = leaves.fit(holed, y_holed)
plain = convert_lightgbm(m, initial_types=one, target_opset=15, zipmap=False)
run("lightgbm-plain", plain, m, test_holed)
run("lightgbm-named", *named(False, leaves))
run("xgboost-named", *named(True, xgboost.XGBClassifier(n_estimators=4, max_depth=2)))
run("boosting", *named(False, GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=1)))
run("imputed", *named(False, SimpleImputer(), StandardScaler(), LogisticRegression()))
run("ranged", *named(True, SimpleImputer(strategy="constant", fill_value=-1), MinMaxScaler(), Normalizer("l2"), LogisticRegression()))
with open(os.path.join(HERE, "onnx.json"), "w") as f:
    json.dump(said, f, indent=1)
