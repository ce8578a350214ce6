//! The benchmark of a stream: how soon a decision is there. Rows that are not to be mixed up stand
//! apart: the engine alone on records in memory, append to decided and append to committed with a
//! broker on the same machine, and what somebody waits who asks over HTTP meanwhile.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::generate::{self, Keys, START_MS};
use crate::measure::fail;

/// Partitions of the input topic.
const PARTITIONS: u32 = 4;
/// Longer than a start, or what is left after the last record, takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions over HTTP.
const PAUSE: Duration = Duration::from_millis(20);
/// How far behind the stream's events those of HTTP are: events of the future would wait for it.
const BEHIND_MS: u64 = 500;
/// The token `two`, and its SHA-256.
const TOKEN: &str = "two";
const TOKEN_SHA256: &str = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
/// Shares whose latency is told, in thousandths.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)];

#[derive(clap::Args)]
pub(crate) struct Stream {
    /// Events a second that the engine alone is offered.
    #[arg(long, default_value_t = 150_000)]
    engine_rate: u64,
    /// Events a second that the broker is offered, one run for each.
    #[arg(long, value_delimiter = ',', default_value = "1000,5000,20000")]
    rates: Vec<u64>,
    /// How long each run lasts.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Workers.
    #[arg(long, default_value_t = 2)]
    workers: u64,
    /// Length of a tick, in ms.
    #[arg(long, default_value_t = 5)]
    tick_ms: u64,
    /// Rules directory [default: that of the batch job].
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The program to measure.
    #[arg(long, value_name = "PATH")]
    binary: PathBuf,
    /// Where input and topics go.
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
    /// The engine on records in memory, `examples/paced`.
    #[arg(long, value_name = "PATH")]
    engine: PathBuf,
    /// The address of a broker; without one only the engine is measured.
    #[arg(long)]
    broker: Option<String>,
}

pub(crate) fn run(stream: &Stream) -> Result<(), String> {
    fs::create_dir_all(&stream.work).map_err(fail(&stream.work))?;
    let engine = stream.engine_rows()?;
    let mut broker = Vec::new();
    for rate in stream.broker.iter().flat_map(|_| &stream.rates) {
        eprintln!("{rate} events a second through the broker");
        broker.push(stream.through_broker(*rate)?);
    }
    if stream.json {
        println!("{:#}", json!({ "engine": engine, "broker": broker }));
    } else {
        print!("{}", text(stream, &engine, &broker));
    }
    Ok(())
}

fn text(stream: &Stream, engine: &[Value], broker: &[Value]) -> String {
    let mut out = format!(
        "{} workers, ticks of {} ms, {} s each; latencies in ms\n\n",
        stream.workers, stream.tick_ms, stream.seconds
    );
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    out.push_str(&format!(
        "{:<34}{:>10}{:>12}{:>9}{:>9}{:>9}{:>9}\n",
        "", "offered/s", "decided/s", "p50", "p99", "p99.9", "max"
    ));
    for row in engine {
        let latency = &row["latency_ms"];
        let offered = number(&row["offered_per_s"]);
        // All that is offered at once waits for itself.
        let paced = offered > 0.0;
        let of = |name: &str| match paced {
            true => format!("{:.1}", number(&latency[name])),
            false => "-".to_owned(),
        };
        out.push_str(&format!(
            "{:<34}{:>10}{:>12.0}{:>9}{:>9}{:>9}{:>9}\n",
            "engine only, records in memory",
            if paced { format!("{offered:.0}") } else { "all".to_owned() },
            number(&row["events_per_s"]),
            of("p50"),
            of("p99"),
            of("p999"),
            of("max")
        ));
    }
    for row in broker {
        for (name, key) in [
            ("broker: append to decided", "append_to_decided_ms"),
            ("broker: append to committed", "append_to_committed_ms"),
            ("HTTP: asked to answered", "http_ms"),
        ] {
            out.push_str(&format!(
                "{name:<34}{:>10.0}{:>12.0}{:>9.1}{:>9.1}{:>9.1}{:>9}\n",
                number(&row["offered_per_s"]),
                number(&row["events_per_s"]),
                number(&row[key]["p50"]),
                number(&row[key]["p99"]),
                number(&row[key]["p999"]),
                ""
            ));
        }
    }
    out
}

impl Stream {
    fn rules(&self) -> PathBuf {
        let batch = || Path::new(env!("CARGO_MANIFEST_DIR")).join("batch-job");
        self.rules.clone().unwrap_or_else(batch)
    }

    /// The engine alone: all at once, and at its rate.
    fn engine_rows(&self) -> Result<Vec<Value>, String> {
        let events = self.events(self.engine_rate)?;
        let mut rows = Vec::new();
        for rate in [0, self.engine_rate] {
            eprintln!("the engine alone, offered {rate} events a second (0: all at once)");
            let mut command = Command::new(&self.engine);
            command.arg(&events).arg(self.rules());
            command.args([rate, self.workers, self.tick_ms].map(|number| number.to_string()));
            let output = command.stderr(Stdio::inherit()).output().map_err(fail(&self.engine))?;
            let said = String::from_utf8_lossy(&output.stdout);
            rows.push(serde_json::from_str(said.trim()).map_err(fail(&self.engine))?);
        }
        Ok(rows)
    }

    /// A file of events that are spread evenly at a rate.
    fn events(&self, rate: u64) -> Result<PathBuf, String> {
        let path = self.work.join(format!("paced-{rate}-{}.csv", self.seconds));
        if !path.exists() {
            let partial = path.with_extension("partial");
            let file = fs::File::create(&partial).map_err(fail(&partial))?;
            let out = std::io::BufWriter::with_capacity(1 << 20, file);
            let span = self.seconds * 1_000;
            generate::write(rate * self.seconds, span, Keys::Skewed, out)
                .map_err(fail(&partial))?;
            fs::rename(&partial, &path).map_err(fail(&path))?;
        }
        Ok(path)
    }

    /// A stream that decides what is produced at a rate, and answers somebody meanwhile.
    fn through_broker(&self, rate: u64) -> Result<Value, String> {
        let events = self.events(rate)?;
        let (config, address) = self.configure(rate)?;
        let topic = format!("bench-{}-{rate}", std::process::id());
        let produce = |more: &[&str], events: &Path| {
            // A client that waits for its broker may spin: it must not take the broker's processor.
            let mut command = Command::new("nice");
            command.args(["-n", "10"]).arg(&self.binary);
            command.arg("produce").arg(events).args(["--topic", &format!("{topic}.in")]);
            command.args(["--brokers", self.broker.as_deref().unwrap_or_default()]);
            command.args(["--partitions", &PARTITIONS.to_string()]).args(more);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        // The topic is there before the stream, and holds a first event.
        let first = self.work.join("first.csv");
        let text = fs::read_to_string(&events).map_err(fail(&events))?;
        let lines: Vec<&str> = text.lines().take(2).collect();
        let early = lines.join("\n").replace("e0,", "first,") + "\n";
        fs::write(&first, early).map_err(fail(&first))?;
        run_to_end(produce(&[], &first))?;
        let mut decides = Running(
            Command::new(&self.binary)
                .arg("stream")
                .arg(&config)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(fail(&self.binary))?,
        );
        let since = Instant::now();
        while ask(&address, "GET", "/readyz", "").is_none_or(|answer| answer.0 != 200) {
            decides.check(since)?;
        }
        let mut producing =
            produce(&["--rate", "x1"], &events).spawn().map_err(fail(&self.binary))?;
        let started = Instant::now();
        let (mut asked, mut answers) = (0, Vec::new());
        while producing.try_wait().map_err(fail(&self.binary))?.is_none() {
            // It takes a moment until it sends.
            if started.elapsed() > Duration::from_secs(3) {
                answers.extend(self.decide(&address, started.elapsed(), asked)?);
                asked += 1;
            }
            sleep(PAUSE);
        }
        let since = Instant::now();
        let wanted = rate * self.seconds;
        let metrics = loop {
            decides.check(since)?;
            let (_, metrics) = ask(&address, "GET", "/metrics", "").ok_or("no metrics")?;
            let decided = value(&metrics, "hongxian_records_total{outcome=\"decided\"}");
            if decided >= wanted as f64 {
                break metrics;
            }
        };
        answers.sort_by(f64::total_cmp);
        let of_answers = |share: f64| {
            let at = (answers.len() as f64 * share) as usize;
            answers.get(at.min(answers.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
        };
        Ok(json!({
            "offered_per_s": rate,
            "events_per_s": wanted as f64 / started.elapsed().as_secs_f64(),
            "append_to_decided_ms": quantiles(&metrics, "hongxian_append_to_decided_seconds"),
            "append_to_committed_ms": quantiles(&metrics, "hongxian_append_to_committed_seconds"),
            "http_asked": asked,
            "http_decided": answers.len(),
            "http_ms": Value::Object(
                QUANTILES.map(|(name, share)| (name.to_owned(), of_answers(share).into())).into_iter().collect(),
            ),
        }))
    }

    /// Writes the configuration of a stream; where it is, and where the stream answers.
    fn configure(&self, rate: u64) -> Result<(PathBuf, String), String> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr());
        let address = free.map_err(fail(Path::new("127.0.0.1")))?.to_string();
        let tokens = self.work.join("tokens.toml");
        let token =
            format!("[[token]]\nactor = 'bench'\nrole = 'analyst'\nsha256 = '{TOKEN_SHA256}'\n");
        fs::write(&tokens, token).map_err(fail(&tokens))?;
        let name = format!("bench-{}-{rate}", std::process::id());
        let broker = self.broker.as_deref().unwrap_or_default();
        let (rules, tokens) = (self.rules(), tokens.display().to_string());
        let (rules, workers, tick) = (rules.display(), self.workers, self.tick_ms);
        let text = format!(
            "brokers = '{broker}'\nname = '{name}'\nrules = '{rules}'\nworkers = {workers}\n\
             tick = '{tick}ms'\n\
             [topics]\ninput = ['{name}.in']\noutput = '{name}.out'\ndead_letter = '{name}.dead'\n\
             control = '{name}.control'\n\
             [http]\nlisten = '{address}'\ntokens = '{tokens}'\n"
        );
        let config = self.work.join(format!("stream-{rate}.toml"));
        fs::write(&config, text).map_err(fail(&config))?;
        Ok((config, address))
    }

    /// Asks for a decision; how long that took, in ms, or nothing where it was not decided in time.
    fn decide(&self, address: &str, into: Duration, number: usize) -> Result<Option<f64>, String> {
        let time = START_MS + (into.as_millis() as u64).saturating_sub(BEHIND_MS);
        let event = json!({
            "event_id": format!("asked-{number}"), "event_time": time, "kind": "claim",
            "account_id": format!("asker-{}", number % 50), "counterparty_id": "u1",
            "group_id": "g1", "packet_id": format!("asked-{}", number / 5), "amount_fen": 100,
        });
        let since = Instant::now();
        let (status, body) =
            ask(address, "POST", "/v1/decide", &event.to_string()).ok_or("nobody answers")?;
        let took = since.elapsed().as_secs_f64() * 1e3;
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        match status {
            200 if answer["status"] == "decided" => Ok(Some(took)),
            200 | 202 | 503 | 504 => Ok(None),
            _ => Err(format!("the stream answered {status}: {body}")),
        }
    }
}

/// A stream, which ends with the run.
struct Running(Child);

impl Running {
    /// A pause, unless it has ended or too much time has passed.
    fn check(&mut self, since: Instant) -> Result<(), String> {
        if let Ok(Some(status)) = self.0.try_wait() {
            return Err(format!("the stream ended with {status}"));
        }
        if since.elapsed() > PATIENCE {
            return Err("the stream does not get there".to_owned());
        }
        sleep(PAUSE);
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What it has decided has been counted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run_to_end(mut command: Command) -> Result<(), String> {
    let program = PathBuf::from(command.get_program());
    let status = command.status().map_err(fail(&program))?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| format!("{} ended with {status}", program.display()))
}

/// Asks the stream; the status and the body. None where nobody is there.
fn ask(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// The value of a sample; 0 where it is not there.
fn value(metrics: &str, sample: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(sample));
    line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0.0)
}

/// Quantiles of a histogram in seconds, in ms: within a bucket as if all of it were evenly spread.
fn quantiles(metrics: &str, name: &str) -> Value {
    let prefix = format!("{name}_bucket{{le=\"");
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for line in metrics.lines() {
        let Some((bound, count)) = line.strip_prefix(&prefix).and_then(|l| l.split_once("\"} "))
        else {
            continue;
        };
        let bound = bound.parse().unwrap_or(f64::INFINITY);
        buckets.push((bound, count.trim().parse().unwrap_or(0.0)));
    }
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    let quantile = |share: f64| -> f64 {
        let wanted = all * share;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &buckets {
            if *count >= wanted && *count > below {
                let within = (wanted - below) / (count - below);
                return if bound.is_finite() { low + (bound - low) * within } else { low } * 1e3;
            }
            (low, below) = (*bound, *count);
        }
        f64::NAN
    };
    let told = QUANTILES.map(|(name, share)| (name.to_owned(), Value::from(quantile(share))));
    Value::Object(told.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_histogram_lie_within_their_buckets() {
        let text = "# TYPE t histogram\nt_sum 3\nt_count 100\nt_bucket{le=\"0.001\"} 0\n\
                    t_bucket{le=\"0.002\"} 50\nt_bucket{le=\"0.004\"} 98\nt_bucket{le=\"+Inf\"} 100\n";
        let told = quantiles(text, "t");
        assert_eq!(told["p50"], 2.0);
        // Nobody knows how long the last took, but for at least that.
        assert_eq!((&told["p99"], &told["p999"]), (&json!(4.0), &json!(4.0)));
        assert_eq!(value("a_total{outcome=\"x\"} 7\n", "a_total{outcome=\"x\"}"), 7.0);
    }
}
