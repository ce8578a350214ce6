//! Foreign data through mapping files.

use super::*;

const HANDBOOK: &str = include_str!("../../../../fixtures/mappings/handbook.toml");
const AMLSIM: &str = include_str!("../../../../fixtures/mappings/amlsim.toml");

fn read_mapped(name: &str, bytes: &[u8], mapping: &str) -> Read {
    let files = Files::new();
    read_input(files.mapped(name, bytes, mapping), 16).unwrap()
}

#[test]
fn a_row_makes_its_event_and_its_label() {
    let csv = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,TX_FRAUD_SCENARIO\n\
        7,2018-04-01 00:00:31,596,3156,57.16,0,0\n\
        8,2018-04-01 00:02:10,4961,3412,81.5,1,2\n\
        9,2018-04-01 00:02:11,4961,3412,81.505,1,2\n";
    let read = read_mapped("t.csv", csv.as_bytes(), HANDBOOK);
    let week = 7 * 86_400_000;
    let own = [
        "account_id=\"C596\" counterparty_id=\"T3156\" amount_fen=5716",
        "account_id=\"C4961\" counterparty_id=\"T3412\" amount_fen=8150",
    ];
    let times = [1_522_540_831_000i64, 1_522_540_930_000];
    let label = |id: &str, at: usize, label: &str, typology: &str| {
        format!(
            "{}: event_id=\"{id}#label\" event_time={} kind=\"label\" {} label=\"{label}\"{typology} subject_kind=\"event\" subject_id=\"{id}\"",
            at + 2, times[at] + week, own[at]
        )
    };
    let event = |id: &str, at: usize| {
        format!("{}: event_id=\"{id}\" event_time={} kind=\"transfer\" {}", at + 2, times[at], own[at])
    };
    assert_eq!(events(&read), [
        event("7", 0),
        label("7", 0, "honest", ""),
        event("8", 1),
        label("8", 1, "fraud", " typology=\"scenario-2\""),
    ]);
    assert_eq!(refused(&read), ["4 wrong_type"].map(|_| "4 out_of_bounds"));
    assert_eq!(read.rejects[0].detail, "column TX_AMOUNT is finer than its unit");
    assert_eq!(read.summary.files[0].records, 5, "a row that makes a label is two records");
}
