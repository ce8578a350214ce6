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
            at + 2,
            times[at] + week,
            own[at]
        )
    };
    let event = |id: &str, at: usize| {
        format!(
            "{}: event_id=\"{id}\" event_time={} kind=\"transfer\" {}",
            at + 2,
            times[at],
            own[at]
        )
    };
    assert_eq!(
        events(&read),
        [
            event("7", 0),
            label("7", 0, "honest", ""),
            event("8", 1),
            label("8", 1, "fraud", " typology=\"scenario-2\""),
        ]
    );
    assert_eq!(refused(&read), ["4 wrong_type"].map(|_| "4 out_of_bounds"));
    assert_eq!(read.rejects[0].detail, "column TX_AMOUNT is finer than its unit");
    assert_eq!(read.files[0].records, 5, "a row that makes a label is two records");
}

#[test]
fn the_clock_of_text_is_read_to_the_millisecond() {
    let csv = "TX_ID,SENDER_ACCOUNT_ID,RECEIVER_ACCOUNT_ID,TX_AMOUNT,TIMESTAMP,IS_FRAUD\n\
        0,A265,A5829,158.7,2017-01-02 05:24:17.676,0\n";
    let read = read_mapped("t.csv", csv.as_bytes(), AMLSIM);
    assert_eq!(
        events(&read),
        [
            "2: event_id=\"0\" event_time=1483334657676 kind=\"transfer\" account_id=\"A265\" counterparty_id=\"A5829\" amount_fen=15870",
            "2: event_id=\"0#label\" event_time=1483939457676 kind=\"label\" account_id=\"A265\" counterparty_id=\"A5829\" amount_fen=15870 label=\"honest\" subject_kind=\"event\" subject_id=\"0\"",
        ]
    );
}

const CASES: &str = r#"
[columns]
flag = "int"
mode = { column = "TX TYPE", type = "string" }
rate = "double"
[fields]
event_id   = "id"
event_time = { column = "day", unit = "day", origin = 2024-01-01T00:00:00Z }
kind       = [
  { when = "mode == 'CASH_OUT'", constant = "withdraw" },
  { when = "mode == 'PAYMENT' && rate >= 0.5", constant = "transfer" },
]
account_id = "who"
group_id   = { template = "{{{who}}}-{flag}" }
amount_fen = { column = "sum", unit = "yuan", round = "half_even" }
verified   = [{ when = "flag == 1", constant = true }, { constant = false }]
[extra.rate]
column = "rate"
type   = "double"
[extra.big]
type  = "bool"
cases = [{ when = "rate > 1.0", constant = true }]
[label]
delay = "1d"
when = "flag == 1"
subject_kind = "account"
subject_id = "who"
"#;

#[test]
fn cases_templates_units_and_extras_are_the_same_from_every_format() {
    let csv = "id,day,TX TYPE,rate,who,flag,sum\n\
        1,0.5,CASH_OUT,1.5,a,1,0.125\n\
        2,1,PAYMENT,0.5,b,0,1e1\n\
        3,2,PAYMENT,0.25,b,0,1\n\
        4,3,CASH_OUT,,b,,7\n\
        5,x,CASH_OUT,,b,,7\n\
        6,3,CASH_OUT,,b,1.0,7\n\
        7,3,CASH_OUT,,b,,seven\n";
    let json = [
        r#"{"id":1,"day":0.5,"TX TYPE":"CASH_OUT","rate":1.5,"who":"a","flag":1,"sum":0.125}"#,
        r#"{"id":"2","day":1,"TX TYPE":"PAYMENT","rate":0.5,"who":"b","flag":0,"sum":10.0}"#,
        r#"{"id":3,"day":2,"TX TYPE":"PAYMENT","rate":0.25,"who":"b","flag":0,"sum":"1"}"#,
        r#"{"id":4,"day":3,"TX TYPE":"CASH_OUT","rate":null,"who":"b","sum":7}"#,
        r#"{"id":5,"day":"x","TX TYPE":"CASH_OUT","who":"b","sum":7}"#,
        r#"{"id":6,"day":3,"TX TYPE":"CASH_OUT","who":"b","flag":1.0,"sum":7}"#,
        r#"{"id":7,"day":3,"TX TYPE":"CASH_OUT","who":"b","sum":"seven"}"#,
    ]
    .join("\n");
    let wanted = [
        r#"event_id="1" event_time=1704110400000 kind="withdraw" account_id="a" group_id="{a}-1" amount_fen=12 verified=true extra.big=true extra.rate=1.5"#,
        r#"event_id="1#label" event_time=1704196800000 kind="label" account_id="a" group_id="{a}-1" amount_fen=12 verified=true label="fraud" subject_kind="account" subject_id="a" extra.big=true extra.rate=1.5"#,
        r#"event_id="2" event_time=1704153600000 kind="transfer" account_id="b" group_id="{b}-0" amount_fen=1000 verified=false extra.rate=0.5"#,
        r#"event_id="4" event_time=1704326400000 kind="withdraw" account_id="b" amount_fen=700 verified=false"#,
    ];
    let without_line = |event: &String| event.split_once(": ").unwrap().1.to_owned();
    for (name, bytes, first) in [("t.csv", csv, 2), ("t.jsonl", &json, 1)] {
        let read = read_mapped(name, bytes.as_bytes(), CASES);
        let found: Vec<String> = events(&read).iter().map(without_line).collect();
        assert_eq!(found, wanted, "{name}");
        let codes = [(2, "missing_field"), (4, "wrong_type"), (5, "wrong_type"), (6, "wrong_type")];
        assert_eq!(
            refused(&read),
            codes.map(|(at, code)| format!("{} {code}", first + at)),
            "{name}"
        );
        assert_eq!(read.files[0].records, 8, "{name}");
    }
}

/// What a null leaves open is neither fraud nor honest.
#[test]
fn a_row_of_which_the_finding_is_not_known_has_no_label_and_is_told_of() {
    let mapping =
        CASES.replace("when = \"flag == 1\"\n", "when = \"flag == 1\"\notherwise = \"honest\"\n");
    let csv = "id,day,TX TYPE,rate,who,flag,sum\n\
        1,0,CASH_OUT,1,a,1,1\n\
        2,0,CASH_OUT,1,b,0,1\n\
        3,0,CASH_OUT,1,c,,1\n";
    let found = events(&read_mapped("t.csv", csv.as_bytes(), &mapping));
    let labels: Vec<bool> = found.iter().map(|event| event.contains("label=")).collect();
    assert_eq!(labels, [false, true, false, true, false]);
    let files = Files::new();
    assert_eq!(
        failures::warned_of(&[files.mapped("t.csv", csv.as_bytes(), &mapping)]),
        ["no-label: `when` of [label] meets a null in 1 of the rows: they have no label"]
    );
}

/// An object under `extra` is not read, and its columns would be null without a word.
#[test]
fn a_column_of_ones_own_in_an_object_is_warned_of() {
    let files = Files::new();
    let mapping = "[fields]\nevent_id = \"i\"\nevent_time = \"t\"\nkind = { constant = \"login\" }\n\
        account_id = \"i\"\n[extra.shop]\ntype = \"string\"\ncolumn = \"s\"\n";
    let mapped = files.mapped("m.csv", b"i,t,s\na,1700000000000,x\n", mapping);
    let record = |extra: &str| {
        format!(
            "{{\"event_id\":\"e\",\"event_time\":1700000000000,\"kind\":\"login\",\"account_id\":\"a\",{extra}}}"
        )
    };
    let warned = |extra: &str| {
        let plain = files.write("p.jsonl", record(extra).as_bytes());
        failures::warned_of(&[mapped.clone(), plain])
    };
    assert_eq!(warned("\"extra.shop\":\"x\""), [] as [&str; 0]);
    assert_eq!(
        warned("\"extra\":{\"shop\":\"x\"}"),
        [
            "ignored-column: the key `extra` is ignored (a column of your own is a key of the record itself, as \"extra.NAME\")"
        ]
    );
}

#[test]
fn a_time_format_without_a_date_is_refused_at_once() {
    let mapping = "[fields]\nevent_id = \"i\"\nkind = \"k\"\n\
        event_time = { column = \"t\", format = \"%H:%M\", zone = \"UTC\" }\n";
    assert_eq!(
        wrong(mapping),
        ["4 bad-time-format: no time can be read by this format: it has no date"]
    );
}

/// Ids of 64 bits are numbers beyond what amounts may be, and labels of long ids have ids too.
#[test]
fn large_numbers_and_long_ids_are_ids() {
    let mapping = "[fields]\nevent_id = \"id\"\naccount_id = \"who\"\nevent_time = \"at\"\n\
        amount_fen = \"sum\"\nkind = { constant = \"send\" }\n\
        [columns]\nbad = \"int\"\n[label]\ndelay = \"0s\"\nwhen = \"bad == 1\"\n";
    let long = "x".repeat(64);
    let json = format!(
        "{{\"id\":\"{long}\",\"who\":18446744073709551615,\"at\":1700000000000,\"sum\":1,\"bad\":1}}\n\
         {{\"id\":\"y\",\"who\":9223372036854775808,\"at\":1700000000000,\"sum\":18446744073709551615,\"bad\":0}}"
    );
    let read = read_mapped("t.jsonl", json.as_bytes(), mapping);
    assert_eq!(refused(&read), ["2 wrong_type"]);
    let label = format!("{}#label", &blake3::hash(long.as_bytes()).to_hex()[..58]);
    let found = events(&read);
    assert!(found[0].contains("account_id=\"18446744073709551615\""), "{}", found[0]);
    assert!(found[1].contains(&format!("event_id={label:?}")), "{}", found[1]);
}

#[test]
fn parquet_decimals_doubles_and_timestamps_are_exact() {
    use arrow::array::*;
    let files = Files::new();
    let mapping = |zone: &str| {
        format!(
            "[fields]\nevent_id = \"id\"\naccount_id = \"id\"\nkind = {{ constant = \"withdraw\" }}\n\
         event_time = {{ column = \"at\", format = \"%F\", zone = \"{zone}\" }}\n\
         amount_fen = {{ column = \"sum\", unit = \"yuan\" }}\n"
        )
    };
    let written = ["0.1", "0.29", "57.16"];
    let decimals =
        Decimal128Array::from(vec![10, 29, 5716]).with_precision_and_scale(20, 2).unwrap();
    let sums: Vec<ArrayRef> = vec![
        Arc::new(decimals),
        Arc::new(Float64Array::from_iter_values(written.map(|text| text.parse::<f64>().unwrap()))),
        Arc::new(Float32Array::from_iter_values(written.map(|text| text.parse::<f32>().unwrap()))),
        Arc::new(StringArray::from(written.to_vec())),
    ];
    let local = TimestampMicrosecondArray::from(vec![1_704_110_400_000_999; 3]);
    let times: [(ArrayRef, i64); 2] = [
        (Arc::new(local.clone()), 1_704_081_600_000),
        (Arc::new(local.with_timezone("UTC")), 1_704_110_400_000),
    ];
    for sum in &sums {
        for (time, wanted_time) in &times {
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("id", Arc::new(Int32Array::from(vec![1, 2, 3]))),
                ("at", time.clone()),
                ("sum", sum.clone()),
            ];
            let path = files.path("t.parquet");
            formats::write_parquet(&path, &columns);
            let bytes = fs::read(path).unwrap();
            let read = read_mapped("t.parquet", &bytes, &mapping("Asia/Shanghai"));
            let wanted = [(1, 10), (2, 29), (3, 5716)].map(|(id, fen)| format!(
                "{id}: event_id=\"{id}\" event_time={wanted_time} kind=\"withdraw\" account_id=\"{id}\" amount_fen={fen}"
            ));
            assert_eq!(events(&read), wanted, "{}", sum.data_type());
        }
    }
    // Without a mapping a decimal is no integer, even a whole one.
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("event_id", Arc::new(StringArray::from(vec!["e"]))),
        ("event_time", Arc::new(Int64Array::from(vec![1_704_110_400_000]))),
        ("kind", Arc::new(StringArray::from(vec!["withdraw"]))),
        ("account_id", Arc::new(StringArray::from(vec!["a"]))),
        (
            "amount_fen",
            Arc::new(Decimal128Array::from(vec![1]).with_precision_and_scale(9, 0).unwrap()),
        ),
    ];
    formats::write_parquet(&files.path("plain.parquet"), &columns);
    let read = read_input(Input::plain(files.path("plain.parquet")), 1).unwrap();
    assert_eq!(refused(&read), ["1 wrong_type"]);
}

#[test]
fn a_column_that_is_not_there_is_named() {
    let mapping = "[fields]\nevent_id = \"ID\"\nevent_time = \"TME\"\nkind = { constant = \"message\" }\naccount_id = { template = \"C{NOBODY}\" }\n";
    let files = Files::new();
    let csv = files.mapped("t.csv", b"ID,TIME\n1,2\n", mapping);
    let found = findings(read_input(csv, 1));
    let path = files.path("t.csv");
    assert_eq!(
        found,
        [
            format!(
                "unknown-column: there is no column `TME` in {} (did you mean `TIME`?)",
                path.display()
            ),
            format!(
                "unknown-column: there is no column `NOBODY` in {} (its columns are ID, TIME)",
                path.display()
            ),
        ]
    );
    let json = files.mapped("t.jsonl", b"{\"ID\":\"1\",\"TIME\":1704110400000}\n", mapping);
    let found = findings(read_input(json, 1));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|found| found.contains("`TME`") && found.contains("`TIME`")));
    let has_all = |found: &String| {
        found.contains("`NOBODY`") && found.ends_with("(its columns are ID, TIME)")
    };
    assert!(found.iter().any(has_all), "{found:?}");
}

/// The codes and lines of what is wrong with a mapping file.
fn wrong(mapping: &str) -> Vec<String> {
    match Mapping::parse(Path::new("map.toml"), mapping.to_owned()) {
        Err(Failure::Input(found, sources)) => {
            let text = sources.get(Path::new("map.toml")).unwrap();
            let line = |found: &Diagnostic| {
                text[..found.span.as_ref().unwrap().start].matches('\n').count() + 1
            };
            found.iter().map(|found| format!("{} {}", line(found), shown(found))).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_wrong_with_a_mapping_is_said_at_once_with_its_line() {
    let found = wrong(
        r#"[colums]
[columns]
A = "integer"
B = "int"
[fields]
event_id = { column = "ID", unit = "yuan" }
event_tme = "T"
kind = { constant = "tranfer" }
account_id = { template = "C{ID" }
amount_fen = { column = "S", unit = "s" }
registered_at = { column = "R", format = "%Y-%m-%d" }
group_id = [{ constant = "g" }, { column = "G" }]
device_id = { column = "D", constant = "d" }
shares = { template = "x" }
region = { constant = 11 }
verified = [{ when = "B", constant = true }]
ip = { column = "I", when = "BB == 1" }
label = "L"
[extra.Foo]
type = "int"
column = "F"
[extra.bar]
column = "F"
[extra.baz]
type = "int"
column = "F"
format = "%!"
zone = "Mars"
[label]
delay = "soon"
when = "B == 1"
subject_kind = "account"
"#,
    );
    let wanted = [
        "1 unknown-key: unknown key `colums` (did you mean `columns`?)",
        "3 unknown-value: `type` is `integer`, not one of int, double, bool, string",
        "5 missing-key: `event_time` is missing",
        "6 value-source: `event_id` is a string: it has no unit and no time format",
        "7 unknown-field: unknown field `event_tme` (did you mean `event_time`?)",
        "8 bad-constant: no event can have this: kind is \"tranfer\" (did you mean `transfer`?)",
        "9 bad-template: a brace stands alone in the template (write {{ or }} for a brace)",
        "10 unknown-value: `unit` is `s`, not one of yuan, fen",
        "11 missing-key: the format has no offset, so the times need a `zone` (write zone = \"UTC\" or another)",
        "12 unreachable-case: this case is never reached: the one before it has no `when`",
        "13 value-source: `device_id` needs one of `column`, `template` and `constant`",
        "14 value-source: `shares` is int, and a template makes a string",
        "15 wrong-type: `constant` is an integer, not string",
        "16 condition-type: the condition is int, not true or false",
        "18 label-field: `label` is a field of the event that [label] makes",
        "19 bad-name: `Foo` is no name for an extra column (a name is a lower-case letter and then lower-case letters, digits and _)",
        "22 missing-key: `type` is missing",
        "27 bad-time-format: this is no time format",
        "29 missing-key: a label of an account or a group needs its `subject_id`",
        "30 bad-duration: `delay` is not a duration",
    ];
    for wanted in wanted {
        assert!(found.iter().any(|found| found.starts_with(wanted)), "{wanted}\nin {found:#?}");
    }
    assert!(
        found.iter().any(|found| found.starts_with("17 ") && found.contains("BB")),
        "{found:#?}"
    );
    assert_eq!(found.len(), wanted.len() + 1, "{found:#?}");
}

#[test]
fn a_mapping_that_is_no_toml_or_not_there_is_refused() {
    assert!(wrong("fields = {").iter().any(|found| found.contains("toml-syntax")));
    let absent = Mapping::load(Path::new("absent/map.toml"));
    assert!(matches!(absent, Err(Failure::Input(..))));
}

#[test]
fn one_extra_has_one_type() {
    let mapping = |kind: &str| {
        format!(
            "[fields]\nevent_id = \"a\"\nevent_time = \"b\"\nkind = \"c\"\n[extra.x]\ncolumn = \"x\"\ntype = \"{kind}\"\n"
        )
    };
    let files = Files::new();
    let mut inputs = vec![files.mapped("a.csv", b"", &mapping("int"))];
    inputs.push(files.mapped("b.csv", b"", &mapping("int")));
    assert_eq!(schema(&inputs).unwrap().fields().last().unwrap().name, "extra.x");
    inputs.push(files.mapped("c.csv", b"", &mapping("string")));
    let Err(Failure::Input(found, _)) = schema(&inputs) else { panic!("it was accepted") };
    assert_eq!(shown(&found[0]), "extra-type: extra.x is string here and int in map.toml");
}
