//! Which record is refused, and why: the same table for each format as far as it can express it.

use super::*;

const HEADER: &str = "event_id,event_time,kind,account_id,amount_fen,text,verified\n";

#[test]
fn csv_records_are_refused_with_their_code() {
    let cases: &[(&[u8], &str)] = &[
        (b"e,1700000000000,send,a,1,,", ""),
        (b"e,2024-02-09T20:00:00+08:00,send,a,1,\"hi, \"\"you\"\"\",true", ""),
        (b"e,1700000000000,send,a,1,\"\",", ""),
        (b"e,1700000000000,send,a,1,", "malformed"),
        (b"e,1700000000000,send,a,1,,,", "malformed"),
        (b"e,1700000000000,send,a,1,x\"y,", "malformed"),
        (b"e,1700000000000,send,a,1,\"x\"y,", "malformed"),
        (b"e,1700000000000,send,a,1.0,,", "wrong_type"),
        (b"e,1700000000000,send,a,1e2,,", "wrong_type"),
        (b"e,1700000000000,send,a, 1,,", "wrong_type"),
        (b"e,2024-02-09 20:00:00,send,a,1,,", "wrong_type"),
        (b"e,1700000000000,account,a,,,yes", "wrong_type"),
        (b",1700000000000,send,a,1,,", "missing_field"),
        (b"e,,send,a,1,,", "missing_field"),
        (b"e,1700000000000,,a,1,,", "missing_field"),
        (b"e,1700000000000,send,,1,,", "missing_field"),
        (b"e,1700000000000,send,a,,,", "missing_field"),
        (b"e,1700000000000,send,a,-1,,", "out_of_bounds"),
        (b"e,1700000000000,Send,a,1,,", "unknown_kind"),
        (b"e,4102444800000,send,a,1,,", "time_out_of_range"),
        (b"e,946684799999,send,a,1,,", "time_out_of_range"),
        (b"e,1700000000000,send,a,1,\xff,", "invalid_utf8"),
    ];
    for (record, code) in cases {
        let shown = String::from_utf8_lossy(record);
        for block_bytes in [1, 7, BLOCK_BYTES] {
            // A good record on either side: neither must be touched.
            let good = b"g,1700000000000,send,a,1,,\n";
            let file = [HEADER.as_bytes(), good, record, b"\n", good].concat();
            let read = read("e.csv", &file, block_bytes).unwrap();
            let wanted = if code.is_empty() { vec![] } else { vec![format!("3 {code}")] };
            assert_eq!(refused(&read), wanted, "{shown}");
            assert_eq!(read.files[0].records, 3, "{shown}");
            if !code.is_empty() {
                assert_eq!(read.rejects[0].raw, *record, "{shown}");
            }
        }
    }
}

#[test]
fn json_lines_are_refused_with_their_code() {
    let with = |changed: &str| format!("{{{changed},\"event_id\":\"e\"}}");
    let base = r#""event_time":1700000000000,"kind":"send","account_id":"a","amount_fen""#;
    let amount = |text: &str| with(&format!("{base}:{text}"));
    let deep = "[".repeat(1 << 19);
    let cases: &[(Vec<u8>, &str)] = &[
        (amount("1").into(), ""),
        (amount(r#"1,"unheard":{"of":[1,{"x":null}]}"#).into(), ""),
        (amount(r#"1,"text":null"#).into(), ""),
        (amount(r#"1,"text":"\u4f60\n\"""#).into(), ""),
        (amount("-0").into(), "wrong_type"),
        (amount("-0.0").into(), "wrong_type"),
        (amount("1.0").into(), "wrong_type"),
        (amount("1e2").into(), "wrong_type"),
        (amount("\"1\"").into(), "wrong_type"),
        (amount("true").into(), "wrong_type"),
        (amount("[1]").into(), "wrong_type"),
        (amount("{}").into(), "wrong_type"),
        (amount("9223372036854775808").into(), "wrong_type"),
        (amount("99999999999999999999").into(), "wrong_type"),
        (amount("9223372036854775807").into(), "out_of_bounds"),
        (amount("-1").into(), "out_of_bounds"),
        (amount("null").into(), "missing_field"),
        (amount("01").into(), "malformed"),
        (amount("1,").into(), "malformed"),
        (amount("1,\"amount_fen\":1").into(), "malformed"),
        (amount("null,\"amount_fen\":1").into(), "malformed"),
        (amount("1,\"x\":1,\"y\":2,\"x\":3").into(), "malformed"),
        (amount("1,\"x\":[1,]").into(), "malformed"),
        (amount("1,\"text\":\"a\tb\"").into(), "malformed"),
        (amount("1,\"text\":\"\\ud800\"").into(), "malformed"),
        (amount(&format!("1,\"x\":{deep}")).into(), "malformed"),
        (amount(&deep).into(), "malformed"),
        (deep.clone().into(), "malformed"),
        ("[{\"a\":".repeat(1 << 17).into(), "malformed"),
        (amount(&format!("1,\"text\":\"{}\"", &deep[..1000])).into(), ""),
        (format!("{} x", amount("1")).into(), "malformed"),
        (format!("{}{}", amount("1"), amount("1")).into(), "malformed"),
        (b"[1]".to_vec(), "malformed"),
        (b"null".to_vec(), "malformed"),
        (b"{".to_vec(), "malformed"),
        (amount("1,\"text\":\"\u{1}\"").into(), "malformed"),
        ([b"{\"x\":\"\xff\",".as_slice(), &amount("1").as_bytes()[1..]].concat(), "invalid_utf8"),
        (
            with(&base.replace("send", "sent"))
                .replace("amount_fen", "x\":1,\"amount_fen\":1,\"z")
                .replace("\"z\"", "\"z\":1")
                .into(),
            "unknown_kind",
        ),
    ];
    for (record, code) in cases {
        let shown = String::from_utf8_lossy(&record[..record.len().min(200)]);
        for block_bytes in [5, BLOCK_BYTES] {
            let good = amount("1");
            let file = [good.as_bytes(), b"\r\n\n", record, b"\n", good.as_bytes()].concat();
            let read = read("e.jsonl", &file, block_bytes).unwrap();
            let wanted = if code.is_empty() { vec![] } else { vec![format!("3 {code}")] };
            assert_eq!(refused(&read), wanted, "{shown}");
            assert_eq!(read.files[0].records, 3, "{shown}");
        }
    }
}

#[test]
fn an_overlong_record_is_refused_and_the_next_is_read() {
    let max = crate::event::RECORD_BYTES_MAX;
    for (name, header, open, close) in [
        ("e.csv", HEADER, "e,1700000000000,message,a,,", ","),
        ("e.csv", HEADER, "e,1700000000000,message,a,,\"", "\","),
        (
            "e.jsonl",
            "",
            r#"{"event_id":"e","event_time":1700000000000,"kind":"message","account_id":"a","x":""#,
            "\"}",
        ),
    ] {
        let record = |bytes: usize| {
            format!("{open}{}{close}\n", "x".repeat(bytes - open.len() - close.len()))
        };
        let good = record(open.len() + close.len() + 1);
        let first = if header.is_empty() { 1 } else { 2 };
        // The text of the CSV record is too long for its field, but the record is not.
        let longest =
            if header.is_empty() { vec![] } else { vec![format!("{first} out_of_bounds")] };
        for block_bytes in [1 << 10, 1 << 20, BLOCK_BYTES] {
            let at_limit =
                read(name, [header, &record(max), &good].concat().as_bytes(), block_bytes);
            assert_eq!(refused(&at_limit.unwrap()), longest);
            for bytes in [max + 1, max + 2, 3 * max] {
                let file = [header, &record(bytes), &good].concat();
                let read = read(name, file.as_bytes(), block_bytes).unwrap();
                assert_eq!(refused(&read), [format!("{first} too_long")], "{name} {bytes}");
                assert_eq!(read.rejects[0].raw.len(), RAW_BYTES_MAX);
                assert!(file.as_bytes()[header.len()..].starts_with(&read.rejects[0].raw));
                assert_eq!(events(&read).len(), 1);
                assert_eq!(read.chunks[0].position(0).at, first + 1);
            }
        }
    }
}

/// What hostile people write into a cell must not become events, however long they make it.
#[test]
fn the_text_of_an_overlong_cell_is_never_read_as_records() {
    let max = crate::event::RECORD_BYTES_MAX;
    let forged = "f,1700000000000,transfer,victim,99999900,hi,\n";
    let good = "g,1700000000000,message,a,,hello,\n";
    let record = |text: &str| format!("e,1700000000000,message,m,,\"{text}\",\n");
    let many = forged.repeat(max / forged.len() + 1000);
    let records = [
        record(&format!("{}\n{forged}end", "a".repeat(max + 1000))),
        record(&many),
        record(&format!("{many}\"\"\n{forged}\"\",\n\"\"{forged}")),
        // Quotes where the longest length ends.
        record(&format!("{}{}\n{forged}", "a".repeat(max - 100), "\"\"".repeat(100))),
        // A cell that begins after the longest length, and one after that.
        format!("e,{},\"\n{forged}\",,,\"{many}\",\n", "a".repeat(max)),
    ];
    for (at, record) in records.iter().enumerate() {
        let file = [HEADER, record, good].concat();
        let last = 1 + record.matches('\n').count() as u64;
        for (name, block_bytes) in [("e.csv", 1 << 10), ("e.csv", BLOCK_BYTES), ("e.csv.gz", 7777)]
        {
            let read = read(name, file.as_bytes(), block_bytes).unwrap();
            assert_eq!(refused(&read), ["2 too_long"], "{at}");
            let detail =
                format!("the record is longer than {max} bytes; it goes on to line {last}");
            assert_eq!(read.rejects[0].detail, detail, "{at}");
            assert_eq!(read.rejects[0].raw, record.as_bytes()[..RAW_BYTES_MAX], "{at}");
            assert_eq!(events(&read).len(), 1, "{at}");
            assert_eq!(read.chunks[0].position(0).at, last + 1, "{at}");
        }
    }
}

#[test]
fn a_stray_quote_costs_one_line() {
    let good = "g,1700000000000,message,a,,hello,\n";
    let stray = "s,1700000000000,message,a,,\"hello,\n";
    // The last is more than the longest record.
    for count in [0, 1, 3, 40_000] {
        let file = [HEADER, good, stray, &good.repeat(count)].concat();
        for block_bytes in [1 << 10, BLOCK_BYTES] {
            let read = read("e.csv", file.as_bytes(), block_bytes).unwrap();
            assert_eq!(refused(&read), ["3 malformed"]);
            assert_eq!(read.rejects[0].detail, "a quote is opened and never closed");
            assert_eq!(events(&read).len(), count + 1);
            assert_eq!(read.files[0].records, 2 + count as u64);
        }
    }
}

#[test]
fn stray_quotes_cost_their_lines_and_nothing_between() {
    let good = "g,1700000000000,message,a,,hello,\n";
    let stray = "s,1700000000000,message,a,,\"hm,\n";
    let over_lines = "o,1700000000000,message,a,,\"one\ntwo\",\n";
    // The last are further apart than the longest record.
    for count in [1, 5_000, 40_000] {
        let between = good.repeat(count);
        let file = [HEADER, good, stray, &between, stray, &between, over_lines, good].concat();
        for block_bytes in [1 << 10, BLOCK_BYTES] {
            let read = read("e.csv", file.as_bytes(), block_bytes).unwrap();
            assert_eq!(
                refused(&read),
                ["3 malformed".to_owned(), format!("{} malformed", 4 + count)]
            );
            assert_eq!(events(&read).len(), 2 * count + 3);
        }
    }
}

#[test]
fn a_file_of_stray_quotes_is_read_in_linear_time() {
    let good = "g,1700000000000,message,a,,hello,\n";
    let over_lines = "g,1700000000000,message,a,,\"hello\n\",\n";
    // The quote of every other line is given away by the one on the next.
    let strays = "\"a\nb\"c\n".repeat(20_000);
    let file = [HEADER, &strays, good, over_lines].concat();
    for block_bytes in [64, BLOCK_BYTES] {
        let read = read("e.csv", file.as_bytes(), block_bytes).unwrap();
        assert_eq!(read.rejects.len(), 40_000);
        assert!(read.rejects.iter().all(|reject| reject.code == RejectCode::Malformed));
        assert!(read.rejects.iter().zip(2..).all(|(reject, line)| reject.at == line));
        assert_eq!(events(&read).len(), 2);
    }
    // Each of these closes the quote of the line before and opens another: one record, up to the
    // one that nothing closes.
    let chained = "a\",\",b\n".repeat(1005);
    let file = [HEADER, &chained, good, over_lines].concat();
    for block_bytes in [64, BLOCK_BYTES] {
        let read = read("e.csv", file.as_bytes(), block_bytes).unwrap();
        assert_eq!(refused(&read), ["2 malformed"]);
        let detail = "a quote is opened on line 1006 and never closed";
        assert_eq!(read.rejects[0].detail, detail);
        assert_eq!(events(&read).len(), 2);
    }
}

/// Bytes that say that they are a text and are none: other writers make such files.
#[test]
fn a_parquet_text_that_is_not_utf8_costs_its_row() {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    let strings = |values: [&str; 3]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let columns = [
        ("event_id", strings(["a", "b", "c"])),
        ("event_time", Arc::new(Int64Array::from(vec![1_700_000_000_000; 3])) as ArrayRef),
        ("kind", strings(["login"; 3])),
        ("account_id", strings(["one", "tw<>o", "three"])),
    ];
    let files = Files::new();
    let path = files.path("e.parquet");
    super::formats::write_parquet(&path, &columns);
    let mut bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() - 5 {
        if bytes[at..].starts_with(b"tw<>o") {
            bytes[at + 2..at + 4].copy_from_slice(b"\xff\xfe");
        }
    }
    fs::write(&path, bytes).unwrap();
    let read = read_input(Input::plain(&path), BLOCK_BYTES).unwrap();
    assert_eq!(refused(&read), ["2 invalid_utf8"]);
    assert_eq!(events(&read).len(), 2);
}

/// What was found true of a row's event is no part of it: rules would read the answer.
#[test]
fn only_labels_say_what_was_found_true() {
    let header =
        "event_id,event_time,kind,account_id,amount_fen,label,typology,subject_kind,subject_id\n";
    let file = format!(
        "{header}s,1700000000000,send,a,5,fraud,mine,event,s\n\
         l,1700000000000,label,,,fraud,mine,event,s\nt,1700000000000,send,a,6,,,,\n"
    );
    assert_eq!(
        events(&read("e.csv", file.as_bytes(), BLOCK_BYTES).unwrap()),
        [
            r#"2: event_id="s" event_time=1700000000000 kind="send" account_id="a" amount_fen=5"#,
            r#"3: event_id="l" event_time=1700000000000 kind="label" label="fraud" typology="mine" subject_kind="event" subject_id="s""#,
            r#"4: event_id="t" event_time=1700000000000 kind="send" account_id="a" amount_fen=6"#,
        ]
    );
}

#[test]
fn parquet_rows_are_refused_with_their_code() {
    use arrow::array::{
        ArrayRef, BinaryArray, Float64Array, StringArray, TimestampMillisecondArray, UInt64Array,
    };
    let strings =
        |values: &[Option<&str>]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let time = || -> ArrayRef { Arc::new(UInt64Array::from(vec![1_700_000_000_000; 4])) };
    let amount = |values: [u64; 4]| -> ArrayRef { Arc::new(UInt64Array::from(values.to_vec())) };
    let id = || strings(&[Some("a"), Some("b"), Some("c"), Some("d")]);
    let long = "x".repeat(65);
    let columns = [
        ("event_id", strings(&[Some("a"), None, Some(&long), Some("d")])),
        ("event_time", time()),
        ("kind", strings(&[Some("send"), Some("send"), Some("send"), Some("Send")])),
        ("account_id", id()),
        ("amount_fen", amount([1, 1, 1, 1])),
    ];
    let files = Files::new();
    let read_columns = |columns: &[(&str, ArrayRef)]| {
        super::formats::write_parquet(&files.path("e.parquet"), columns);
        read_input(Input::plain(files.path("e.parquet")), BLOCK_BYTES).unwrap()
    };
    let read = read_columns(&columns);
    assert_eq!(refused(&read), ["2 missing_field", "3 out_of_bounds", "4 unknown_kind"]);
    assert_eq!(
        String::from_utf8_lossy(&read.rejects[0].raw),
        r#"{"event_id":null,"event_time":1700000000000,"kind":"send","account_id":"b","amount_fen":1}"#
    );
    let with = |name: &str, array: ArrayRef| {
        let mut columns = columns.clone();
        columns[0].1 = id();
        columns[2].1 = strings(&[Some("send"); 4]);
        for column in &mut columns {
            if column.0 == name {
                column.1 = array.clone();
            }
        }
        refused(&read_columns(&columns))
    };
    assert_eq!(
        with("amount_fen", amount([1, u64::MAX, 1 << 62, 1])),
        ["2 wrong_type", "3 out_of_bounds"]
    );
    assert_eq!(with("amount_fen", Arc::new(Float64Array::from(vec![1.0; 4]))).len(), 4);
    assert_eq!(
        with("event_time", amount([0, 1 << 63, 1_700_000_000_000, 4_102_444_800_000])),
        ["1 time_out_of_range", "2 wrong_type", "4 time_out_of_range"]
    );
    let bytes: Vec<&[u8]> = vec![b"a", b"\xff", b"c", b"d"];
    assert_eq!(with("account_id", Arc::new(BinaryArray::from(bytes))), ["2 invalid_utf8"]);
    let moments: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![5, 6, 7, 8]));
    assert_eq!(with("amount_fen", moments).len(), 4, "a moment is no amount");
}
