#!/usr/bin/env python3
"""The batch job in DuckDB: python3 bench/peers/duckdb_job.py events.csv --out scored.parquet

Window functions over the claims. A claim's place is one number, its time times the number of claims
plus its rank in the total order, so that a frame by range ends at the claim itself and begins behind
the last claim that is a whole window older, also among claims of the same millisecond."""
import duckdb

import batch_job
from batch_job import DAY_MS, HOUR_MS

# The rank is taken behind the sort: ranking in a window over everything runs on one thread.
CLAIMS = """
CREATE TEMP TABLE claims AS
SELECT *, row_number() OVER () - 1 AS rank
FROM (
    SELECT event_id, event_time, group_id, account_id, counterparty_id, device_id, amount_fen, text
    FROM read_csv(?, header = true)
    WHERE kind = 'claim'
    ORDER BY {order}
)
"""

# There is no search for many phrases at once: the parts of a memo that are as long as a phrase are
# joined with the phrases, each memo once.
SCORED = """
COPY (
    WITH found AS (
        SELECT text, count(DISTINCT part) AS gambling
        FROM (
            SELECT text, unnest([substr(text, start, length) FOR start IN range(1, length(text) - length + 2)])
                AS part
            FROM (SELECT DISTINCT text FROM claims), (SELECT DISTINCT length(phrase) AS length FROM phrases)
        ) SEMI JOIN phrases ON part = phrase
        GROUP BY text
    ),
    placed AS (
        SELECT *, (event_time - (SELECT min(event_time) FROM claims)) * {events} + rank AS place
        FROM claims
    ),
    valued AS (
        SELECT event_id, rank, amount_fen, coalesce(gambling, 0) AS gambling,
            count(*) OVER sender_1h AS sent_1h,
            count(*) OVER sender_24h AS sent_24h,
            sum(amount_fen) OVER sender_1h AS sent_fen_1h,
            sum(amount_fen) OVER sender_24h AS sent_fen_24h,
            count(*) OVER receiver_1h AS claims_1h,
            count(DISTINCT group_id) OVER receiver_24h AS groups_24h,
            count(DISTINCT account_id) OVER device_24h AS receivers_24h
        FROM placed LEFT JOIN found USING (text)
        WINDOW
            sender_1h AS (PARTITION BY counterparty_id ORDER BY place {hour}),
            sender_24h AS (PARTITION BY counterparty_id ORDER BY place {day}),
            receiver_1h AS (PARTITION BY account_id ORDER BY place {hour}),
            receiver_24h AS (PARTITION BY account_id ORDER BY place {day}),
            device_24h AS (PARTITION BY device_id ORDER BY place {day})
    )
    SELECT event_id, {features}, least({score}, {score_max})::BIGINT AS score
    FROM valued
    ORDER BY rank
) TO '{out}' (FORMAT parquet)
"""


def main():
    arguments = batch_job.arguments("DuckDB")
    database = duckdb.connect()
    database.execute(f"SET threads = {arguments.threads}")
    columns = database.execute("FROM read_csv(?, header = true) LIMIT 0", [arguments.events]).description
    order = "event_time, coalesce(seq, 0), event_id" if "seq" in [name for name, *_ in columns] else "event_time, event_id"
    database.execute(CLAIMS.format(order=order), [arguments.events])
    database.execute("CREATE TEMP TABLE phrases AS SELECT unnest(?) AS phrase", [batch_job.phrases()])
    events, = database.execute("SELECT count(*) FROM claims").fetchone()
    database.execute(SCORED.format(
        events=events,
        hour=frame(HOUR_MS, events),
        day=frame(DAY_MS, events),
        features=", ".join(f"{name}::BIGINT AS {name}" for name in batch_job.FEATURES),
        score=" + ".join(points_of(*rule) for rule in batch_job.RULES),
        score_max=batch_job.SCORE_MAX,
        out=arguments.out.replace("'", "''"),
    ))
    if arguments.check:
        batch_job.check(arguments.out, arguments.check)


def frame(window, events):
    """From the first claim of the first millisecond of the window."""
    return f"RANGE BETWEEN {window - 1} * {events}::BIGINT + rank PRECEDING AND CURRENT ROW"


def points_of(clauses, points):
    condition = " AND ".join(f"{value} >= {least}" for value, least in clauses)
    return f"if({condition}, {points}, 0)"


if __name__ == "__main__":
    main()
