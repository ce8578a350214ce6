"""Writes the 15 published inputs of the Fraud Detection Handbook (chapter 3) as a CSV file: event_id, day,
customer, label, then the inputs. The rows are from 2018-07-18 on.

    pip install numpy pandas pyarrow
    python handbook.py transactions.parquet handbook.csv
    cargo run --release -p models --example train_csv -- handbook.csv config.json scores.csv

The published protocol (train 2018-07-25 to 31, labels known after 7 days, test 2018-08-08 to 14) is this
config; 17737 is the day 2018-07-25:

    {"model": {"kind": "boosting", "trees": 200, "depth_max": 3, "learning_rate": 0.05},
     "split": {"train_from": 17737, "test_from": 17751, "test_until": 17758, "label_delay": 7,
               "calibration_share": 0},
     "calibration": {"method": "none"}}

The published figures drop customers known to be defrauded from the test, which the example does not:
they are computed from scores.csv.
"""
import sys, numpy as np, pandas as pd
e = pd.read_parquet(sys.argv[1]).sort_values("TX_DATETIME", kind="stable").reset_index(drop=True)
t = e.TX_DATETIME.dt.tz_localize(None) if e.TX_DATETIME.dt.tz is not None else e.TX_DATETIME
e["t"] = t
e["TX_AMOUNT"] = e.TX_AMOUNT.astype(float)
o = pd.DataFrame({"event_id": e.TRANSACTION_ID, "day": t.astype("datetime64[ms]").astype("int64") // 86400000, "customer": e.CUSTOMER_ID, "label": e.TX_FRAUD})
o["amount"] = e.TX_AMOUNT
o["weekend"] = (t.dt.day_of_week >= 5).astype(int)
o["night"] = (t.dt.hour <= 6).astype(int)
def rolling(key, cols, delay):
    out = {}
    for k, g in e.groupby(key, sort=False):
        g2 = g.set_index("t")
        base_c = base_f = None
        if delay:
            base_f = g2.TX_FRAUD.rolling(f"{delay}D").sum().values
            base_c = g2.TX_FRAUD.rolling(f"{delay}D").count().values
        for w in (1, 7, 30):
            r = g2[cols].rolling(f"{w+delay}D")
            s, c = r.sum().values, r.count().values
            if delay:
                s, c = s - base_f, c - base_c
                v = np.where(c > 0, s / np.where(c > 0, c, 1), 0)
            else:
                v = s / c
            out.setdefault(f"n{w}", []).append(pd.Series(c, index=g.index))
            out.setdefault(f"v{w}", []).append(pd.Series(v, index=g.index))
    return {k: pd.concat(v) for k, v in out.items()}
for pre, key, col, d in (("customer", "CUSTOMER_ID", "TX_AMOUNT", 0), ("terminal", "TERMINAL_ID", "TX_FRAUD", 7)):
    for k, v in rolling(key, col, d).items():
        o[f"{pre}_{k}"] = v
first = (pd.Timestamp("2018-07-18") - pd.Timestamp(0)).days
o[o.day >= first].to_csv(sys.argv[2], index=False, float_format="%.9g")
print(len(o), list(o.columns))
