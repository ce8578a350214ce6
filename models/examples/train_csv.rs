//! Trains on a CSV file and writes the raw score of every row:
//! `cargo run --release -p models --example train_csv -- ROWS.csv CONFIG.json SCORES.csv`.
//!
//! The file's columns: a row's id, its time as an integer, a card as an integer, the label (0 or
//! 1), then the features; an empty cell is a missing value. The figures of the split's test rows
//! are printed. `tests/oracle/handbook.py` makes such a file of the Fraud Detection Handbook's
//! data.

use std::error::Error;
use std::fmt::Write;

use models::judge::{JudgeConfig, Witness, judge};
use models::{Column, Identity, Table, TrainConfig, Work, raw_of, train};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rows, config, scores] = arguments.as_slice() else {
        return Err("usage: train_csv ROWS.csv CONFIG.json SCORES.csv".into());
    };
    let config: TrainConfig = serde_json::from_str(&std::fs::read_to_string(config)?)?;
    let text = std::fs::read_to_string(rows)?;
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<&str>>());
    let names = lines.next().ok_or("an empty file")?;
    let mut columns: Vec<Column> = names[4..].iter().map(|name| Column::new(*name, [])).collect();
    let (mut ids, mut times, mut cards, mut labels) = (vec![], vec![], vec![], vec![]);
    for line in lines {
        ids.push(line[0].to_owned());
        times.push(line[1].parse::<i64>()?);
        cards.push(line[2].parse::<u64>()?);
        labels.push(line[3] == "1");
        for (column, value) in columns.iter_mut().zip(&line[4..]) {
            column.values.push(if value.is_empty() { f64::NAN } else { value.parse()? });
        }
    }
    let table = Table::new(columns, labels, times)?;
    let progress = |what: &str, done, all| eprint!("\r{what}: {done} of {all} ");
    let work = Work { threads: 2, progress: &progress };
    let identity = Identity { name: "train_csv", catalogue_hash: "" };
    let trained = train(&table, &config, identity, work)?;
    let judging = JudgeConfig { day: 1, alerts_a_day: vec![100], ..JudgeConfig::default() };
    let witness = Witness { cards: Some(&cards), ..Witness::default() };
    let judgement = judge(&trained, &table, witness, &judging, config.seed, work);
    eprintln!();
    println!("{:?}\n{judgement:#?}", trained.split.facts);
    let all: Vec<u32> = (0..table.rows() as u32).collect();
    let mut out = String::from("event_id,score\n");
    for (id, raw) in ids.iter().zip(raw_of(&trained.model, &table, &all)) {
        writeln!(out, "{id},{raw}")?;
    }
    std::fs::write(scores, out)?;
    Ok(())
}
