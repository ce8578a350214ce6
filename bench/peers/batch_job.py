"""What the peers share: the batch job's rules and phrases, the command line, and the comparison
with a run of Hongxian.

The job is that of bench/batch-job. Its thresholds are repeated here, as whoever writes the job by
hand has them in their script; --check compares the scores, so that they cannot drift apart."""
import argparse
import pathlib
import sys

PHRASES = pathlib.Path(__file__).parent.parent / "batch-job" / "text" / "phrases" / "thousand.txt"

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

# In the order of features.parquet.
FEATURES = ["sent_1h", "sent_24h", "sent_fen_1h", "sent_fen_24h", "claims_1h", "groups_24h",
            "receivers_24h", "gambling"]

# The clauses that must all hold, (value, at least), and the score that they add.
RULES = [
    ([("groups_24h", 20)], 150),
    ([("claims_1h", 50)], 100),
    ([("sent_24h", 500)], 100),
    ([("sent_1h", 50)], 100),
    ([("receivers_24h", 5)], 200),
    ([("amount_fen", 15_000)], 50),
    ([("sent_fen_24h", 2_000_000)], 150),
    ([("sent_fen_1h", 200_000)], 100),
    ([("gambling", 1)], 300),
    ([("gambling", 1), ("sent_1h", 10)], 300),
]
SCORE_MAX = 1000

# Of events that differ, how many are printed for each column.
SHOWN_MAX = 3


def phrases():
    lines = PHRASES.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and line[0] not in "#["]


def arguments(program):
    """The command line, which is the same for each peer."""
    parser = argparse.ArgumentParser(description=f"The batch job in {program}: CSV in, one scored line an "
                                                 "event out, in the total order of events.")
    parser.add_argument("events", help="the events, CSV as scripts/bench makes it")
    parser.add_argument("--out", required=True, help="the Parquet file to write")
    parser.add_argument("--threads", type=int, default=2, help="threads (default 2)")
    parser.add_argument("--check", metavar="RUN",
                        help="afterwards compare with this run of hongxian backtest --rules bench/batch-job, "
                             "event by event; exit 1 if anything differs")
    return parser.parse_args()


def check(out, run):
    """Compares what a peer wrote with a run of Hongxian: the order of events, each feature and the
    score. Prints the first events that differ."""
    import polars

    ours = polars.read_parquet(pathlib.Path(run) / "features.parquet")
    ours = ours.rename(lambda name: name.split(".")[-1])
    decisions = polars.read_parquet(pathlib.Path(run) / "decisions.parquet", columns=["event_id", "score"])
    theirs = polars.read_parquet(out)
    if not ours["event_id"].equals(decisions["event_id"]):
        sys.exit(f"{run}: features and decisions are not of the same events in the same order")
    ours = ours.with_columns(decisions["score"])
    if ours.height != theirs.height:
        sys.exit(f"{theirs.height} events here, {ours.height} in {run}")
    different = 0
    for column in ["event_id", *FEATURES, "score"]:
        mine, other = theirs[column], ours[column]
        rows = mine.ne_missing(other.cast(mine.dtype)).arg_true()
        different += len(rows)
        for row in rows[:SHOWN_MAX]:
            print(f"row {row}, event {theirs['event_id'][row]}: {column} {mine[row]} here, "
                  f"{other[row]} in the run", file=sys.stderr)
        if len(rows):
            print(f"{column}: {len(rows)} of {len(mine)} differ", file=sys.stderr)
    if different:
        sys.exit(1)
    print(f"{ours.height} events: order, {len(FEATURES)} features and score are those of {run}")
