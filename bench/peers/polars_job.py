#!/usr/bin/env python3
"""The batch job in Polars: python3 bench/peers/polars_job.py events.csv --out scored.parquet

Windows are differences of running sums: events are put in the order of key and time, and an event's
window begins behind the last event of its key that is a whole window older, which binary search
finds. Polars's own rolling windows take in every event of the same millisecond, also those behind
this one in the total order, and count distinct values by scanning each window."""
import os

import batch_job
from batch_job import DAY_MS, HOUR_MS

COLUMNS = ["event_id", "event_time", "group_id", "account_id", "counterparty_id", "device_id", "amount_fen",
           "text"]
# A key's number stands above the bits of a time: 2^40 ms are 34 years.
TIME_SPAN = 1 << 40


def main():
    arguments = batch_job.arguments("Polars")
    # Polars reads it when it is loaded.
    os.environ["POLARS_MAX_THREADS"] = str(arguments.threads)
    global pl
    import polars as pl

    score(read(arguments.events)).write_parquet(arguments.out)
    if arguments.check:
        batch_job.check(arguments.out, arguments.check)


def read(path):
    """The claims in total order, with numbers for keys."""
    events = pl.scan_csv(path)
    order = ["event_time", "event_id"]
    if "seq" in events.collect_schema().names():
        events = events.with_columns(pl.col("seq").fill_null(0))
        order.insert(1, "seq")
    claims = events.filter(pl.col("kind") == "claim").select({*COLUMNS, *order}).sort(order)
    return claims.with_columns(
        pl.col("group_id", "account_id", "counterparty_id", "device_id").cast(pl.Categorical).to_physical()
        .cast(pl.Int64),
        # From one day on, so that the beginning of a window is never below zero.
        time=pl.col("event_time") - pl.col("event_time").min() + DAY_MS,
    ).with_row_index("row").collect()


def score(claims):
    columns = pl.collect_all([
        phrases(claims.lazy()),
        of_senders(claims.lazy()),
        of_receivers(claims.lazy()),
        of_devices(claims.lazy()),
    ])
    scores = pl.sum_horizontal(
        pl.when(pl.all_horizontal(pl.col(value) >= least for value, least in clauses)).then(points).otherwise(0)
        for clauses, points in batch_job.RULES)
    return pl.concat([claims.select("event_id", "amount_fen"), *columns], how="horizontal").select(
        "event_id", *batch_job.FEATURES, score=scores.clip(upper_bound=batch_job.SCORE_MAX))


def phrases(claims):
    """How many different phrases each memo has; a memo that several claims share is searched once."""
    texts = claims.select(pl.col("text").unique()).with_columns(
        gambling=pl.col("text").str.extract_many(batch_job.phrases(), overlapping=True).list.n_unique()
        .cast(pl.Int64))
    return claims.select("text").join(texts, on="text", how="left", maintain_order="left").select("gambling")


def of_senders(claims):
    claims = by_key(claims, "counterparty_id", "amount_fen")
    amounts = pl.col("amount_fen").cum_sum()
    # The sums up to the event before.
    before = pl.concat([pl.lit(pl.Series([0])), amounts])
    return in_total_order(claims.select(
        "row",
        sent_1h=count(HOUR_MS),
        sent_24h=count(DAY_MS),
        sent_fen_1h=amounts - before.gather(start(HOUR_MS)),
        sent_fen_24h=amounts - before.gather(start(DAY_MS)),
    ))


def of_receivers(claims):
    claims = by_key(with_stays(claims, "account_id", "group_id"), "account_id", "begins", "ends")
    return in_total_order(claims.select("row", claims_1h=count(HOUR_MS), groups_24h=distinct()))


def of_devices(claims):
    claims = by_key(with_stays(claims, "device_id", "account_id"), "device_id", "begins", "ends")
    return in_total_order(claims.select("row", receivers_24h=distinct()))


def by_key(claims, key, *columns):
    """In the order of the key and then of events, with one number for both key and time."""
    return claims.select("row", *columns, place=pl.col(key) * TIME_SPAN + pl.col("time")).sort(
        "place", maintain_order=True)


def in_total_order(values):
    return values.sort("row").drop("row")


def start(window):
    """How many events stand before the event's window."""
    return pl.col("place").search_sorted(pl.col("place") - window, side="right")


def count(window):
    return pl.int_range(1, pl.len() + 1) - start(window).cast(pl.Int64)


def with_stays(claims, key, value):
    """A value's stay in the windows of a key begins with a claim that has none within a day before
    it, and ends a day after a claim that has none within a day behind it."""
    pairs = claims.select("row", key, value, "time", pair=pl.col(key) * (1 << 32) + pl.col(value)).sort(
        "pair", maintain_order=True)
    # Pairs differ, or the later event is a whole day later.
    breaks = (pl.col("pair") != pl.col("pair").shift(-1)) | (pl.col("time").shift(-1) - pl.col("time") >= DAY_MS)
    ends = breaks.fill_null(True)
    return pairs.with_columns(ends=ends, begins=ends.shift(1).fill_null(True)).sort("row")


def distinct():
    """The stays that have begun, less those that ended. Those of keys before are all both."""
    ended = pl.concat([pl.lit(pl.Series([0])), pl.col("ends").cast(pl.Int64).cum_sum()])
    return pl.col("begins").cast(pl.Int64).cum_sum() - ended.gather(start(DAY_MS))


if __name__ == "__main__":
    main()
