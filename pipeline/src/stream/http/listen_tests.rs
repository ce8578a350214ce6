//! What clients may take up, with real sockets: who is slow or says nothing is hung up on, and others
//! are served meanwhile.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use axum::body::Bytes;
use axum::extract::Query;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::Value;

use super::super::problem::guarded;
use super::*;
use crate::stopwatch::Since;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Larger than what may be on its way between two sockets.
const LARGE_BYTES: usize = 32 << 20;
const BODY_BYTES: usize = 64;

#[derive(Deserialize)]
struct Wanted {
    limit: usize,
}

/// A server with these limits: how many connections, and for how many ms each may read and rest.
fn serve(connections: u64, read: u64, keep_alive: u64) -> (Listening, SocketAddr, Counts) {
    let routes = Router::new()
        .route("/list", get(async |Query(Wanted { limit }): Query<Wanted>| limit.to_string()))
        .route("/large", get(async || vec![b'x'; LARGE_BYTES]))
        .route("/take", post(async |body: Bytes| body));
    let listener = take("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let [read, keep_alive] = [read, keep_alive].map(Duration::from_millis);
    let counts = Counts::default();
    let limits = (Limits { connections, read, keep_alive }, counts.clone());
    let routes = guarded(routes, BODY_BYTES, read);
    (Listening::begin(listener, None, routes, limits).unwrap(), address, counts)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Says so much, and hears what is said until the server hangs up: it must.
fn until_closed(stream: &mut TcpStream, said: &str) -> String {
    stream.write_all(said.as_bytes()).unwrap();
    let mut heard = Vec::new();
    if let Err(error) = stream.read_to_end(&mut heard) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it hangs up: {error}");
    }
    String::from_utf8(heard).unwrap()
}

/// Asks as a client does that wants one answer: its status and its body.
fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let said = format!("{head}content-length: {length}\r\n\r\n{body}");
    let heard = until_closed(&mut connect(address), &said);
    let status = heard.split(' ').nth(1).unwrap_or_else(|| panic!("{path}: {heard:?}"));
    let body = heard.split_once("\r\n\r\n").expect("a body").1;
    (status.parse().unwrap(), body.to_owned())
}

/// The object in which it is said what is wrong.
fn code(body: &str) -> String {
    let value: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{body}"));
    assert!(value["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    value["code"].as_str().unwrap().to_owned()
}

/// Whatever is wrong with a request is said in one form, whoever finds it; what is right passes.
#[test]
fn what_is_wrong_is_said_in_one_form() {
    let (_listening, address, _) = serve(10, 60_000, 60_000);
    let large = "x".repeat(BODY_BYTES + 1);
    for (method, path, body, status, expected) in [
        ("POST", "/take", &*large, 413, "too_large"),
        ("GET", "/list?limit=x", "", 400, "malformed"),
        ("GET", "/list", "", 400, "malformed"),
        ("GET", "/nowhere", "", 404, "no_route"),
        ("GET", "/take", "", 405, "no_method"),
    ] {
        let (found, said) = ask(address, method, path, body);
        assert_eq!((found, &*code(&said)), (status, expected), "{method} {path}: {said}");
    }
    assert_eq!(ask(address, "POST", "/take", "taken"), (200, "taken".to_owned()));
    assert_eq!(ask(address, "GET", "/list?limit=7", ""), (200, "7".to_owned()));
}

/// Who says nothing, half a head or half a body, or rests for too long, is hung up on; others are
/// served meanwhile.
#[test]
fn who_is_slow_is_hung_up_on() {
    let (_listening, address, _) = serve(10, 500, 1_000);
    let body = "POST /take HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
    let whole = "GET /list?limit=1 HTTP/1.1\r\nhost: x\r\n\r\n";
    let second = format!("{whole}GET /list?limit=2 HTTP");
    for (said, expected) in [
        ("", None),
        ("GET /list?limit=1 HT", None),
        (body, Some("HTTP/1.1 408 ")),
        // The answer, and then nothing; or half of the next head.
        (whole, Some("HTTP/1.1 200 ")),
        (&*second, Some("HTTP/1.1 200 ")),
    ] {
        let since = Since::now();
        let mut slow = connect(address);
        slow.write_all(said.as_bytes()).unwrap();
        assert_eq!(ask(address, "GET", "/list?limit=7", "").0, 200, "meanwhile");
        let heard = until_closed(&mut slow, "");
        assert!(since.elapsed() >= Duration::from_millis(400), "{said}: not at once");
        match expected {
            Some(expected) => assert!(heard.starts_with(expected), "{said}: {heard}"),
            None => assert_eq!(heard, "", "{said}"),
        }
    }
    let heard = until_closed(&mut connect(address), body);
    assert_eq!(code(heard.split_once("\r\n\r\n").unwrap().1), "slow");
}

/// Who asks and takes nothing of the answer is hung up on.
#[test]
fn who_takes_no_answer_is_hung_up_on() {
    let (_listening, address, counts) = serve(10, 500, 60_000);
    let mut deaf = connect(address);
    deaf.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let since = Since::now();
    while counts.open() == 0 {
        assert!(since.elapsed() < PATIENCE, "it is not let in");
        std::thread::sleep(Duration::from_millis(1));
    }
    while counts.open() > 0 {
        assert!(since.elapsed() < PATIENCE, "it is not hung up on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// More connections than there may be are closed at once and counted; those that are there are served,
/// and when they go others come.
#[test]
fn more_connections_than_there_may_be_are_closed() {
    let (_listening, address, counts) = serve(4, 60_000, 60_000);
    let mut held: Vec<TcpStream> = (0..4).map(|_| connect(address)).collect();
    let since = Since::now();
    while counts.open() < 4 {
        assert!(since.elapsed() < PATIENCE, "they are not let in");
        std::thread::sleep(Duration::from_millis(10));
    }
    for _ in 0..20 {
        let mut more = connect(address);
        let mut byte = [0];
        match more.read(&mut byte) {
            Ok(count) => assert_eq!(count, 0, "nothing is said"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    assert_eq!((counts.open(), counts.refused()), (4, 20));
    let whole = "GET /list?limit=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let heard = until_closed(&mut held[0], whole);
    assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
    drop(held);
    while counts.open() > 0 {
        assert!(since.elapsed() < PATIENCE, "they are not given back");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(ask(address, "GET", "/list?limit=7", "").0, 200);
}

/// What is configured is not more than half of what this process may open.
#[test]
fn connections_leave_descriptors_for_the_stream() {
    let limits = |connections| {
        let [read, keep_alive] = [Duration::from_secs(1); 2];
        Limits { connections, read, keep_alive }.within_descriptors().connections
    };
    assert_eq!(limits(1), 1);
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if let Some(descriptors) = descriptors.filter(|many| *many < u64::MAX) {
        assert_eq!(limits(descriptors), descriptors / 2);
    }
}
