//! Requests that no honest client sends: each gets a status from 400 to 499 with a reason, and the server
//! goes on.

use std::io::{BufReader, Cursor, Write};
use std::time::{Duration, Instant};

use image::GrayImage;
use image::codecs::png::PngEncoder;
use mllmseg::serve::{LabelStudioHost, Limits, ServeOptions};
use serde_json::json;

use super::client::{Client, form, read_reply};
use super::{Server, TINY, scene_file};

const JSON: &str = "Content-Type: application/json";
const PNG: &str = "Content-Type: image/png";

/// The status must be this, with a reason in JSON.
#[track_caller]
fn refused(client: &Client, method: &str, path: &str, headers: &[&str], body: &[u8], status: u16) {
    let reply = client.send(method, path, headers, body);
    let body = String::from_utf8_lossy(&reply.body);
    assert_eq!(reply.status, status, "{method} {path}: {body}");
    let json = reply.json();
    assert!(!json["error"]["message"].as_str().unwrap().is_empty(), "{body}");
    assert!(!json["error"]["code"].as_str().unwrap().is_empty(), "{body}");
}

#[test]
fn a_hostile_request_is_refused_with_a_reason() {
    let server = Server::start(&["--body-mb", "2"]);
    let client = &server.client;
    let id = client.add(&scene_file());
    let segment = format!("/v1/images/{id}/segment");
    let post = |path: &str, headers: &[&str], body: &[u8], status: u16| {
        refused(client, "POST", path, headers, body, status);
    };
    let large = vec![b'x'; 3 << 20];
    for path in
        ["/v1/images", &segment, "/v1/segment", "/v1/predict", "/predict", "/setup", "/webhook"]
    {
        post(path, &[JSON], &large, 413);
        post(path, &["Content-Type: text/plain"], b"hello", 415);
        post(path, &["Origin: https://evil.example", JSON], b"{}", 403);
        post(path, &["Origin: null", JSON], b"{}", 403);
        post(path, &["Host: evil.example", JSON], b"{}", 403);
        refused(client, "PUT", path, &[], b"", 405);
    }
    // Wrong JSON.
    for path in [&segment, "/v1/segment", "/v1/predict", "/predict"] {
        for body in ["", "{", "[]", "\"x\"", "{\"expressions\": 7}", &"[".repeat(100_000), "\u{0}"]
        {
            post(path, &[JSON], body.as_bytes(), 422);
        }
        post(path, &[JSON], b"{\"expressions\": [\"\xff\xfe\"]}", 422);
    }
    // Wrong questions.
    let many = vec!["the red star"; 10_000];
    for (json, status) in [
        (json!({ "expressions": many }), 413),
        (json!({ "expressions": ["x".repeat(100_000)] }), 413),
        (json!({ "expressions": [] }), 400),
        (json!({ "expressions": ["  "] }), 400),
        (json!({ "expressions": ["the [SEG]"] }), 400),
        (json!({ "expressions": ["star"], "threshold": 2 }), 400),
        (json!({ "expressions": ["star"], "threshold": "0.5" }), 422),
        (json!({ "expressions": ["star"], "tolerance": -1 }), 400),
        (json!({ "expressions": ["star"], "tolerance": 1e300 }), 400),
        (json!({ "expressions": ["star"], "format": "../../etc/passwd" }), 422),
        (json!({ "expressions": ["star"], "unknown": 1 }), 422),
        (json!({ "expressions": ["star"], "image": "aGVsbG8=" }), 400),
    ] {
        post(&segment, &[JSON], json.to_string().as_bytes(), status);
    }
    // Wrong images.
    let scene = scene_file();
    for (file, status) in [
        (&b""[..], 422),
        (b"hello", 422),
        (b"\x89PNG\r\n\x1a\n", 422),
        (&scene[..scene.len() / 2], 422),
        (b"GIF89a", 422),
    ] {
        post("/v1/images", &[PNG], file, status);
        let (kind, body) = form(file, &[("expression", "the red star")]);
        post("/v1/segment", &[&kind], &body, status);
    }
    for image in [
        "data:image/png;base64,@@@",
        "data:image/png,x",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1/",
    ] {
        let json = json!({ "image": image, "expressions": ["the red star"] }).to_string();
        post("/v1/segment", &[JSON], json.as_bytes(), 422);
    }
    // 100 million pixels in a hundred kilobytes.
    let mut bomb = Cursor::new(Vec::new());
    GrayImage::new(10_000, 10_000).write_with_encoder(PngEncoder::new(&mut bomb)).unwrap();
    let start = Instant::now();
    post("/v1/images", &[PNG], bomb.get_ref(), 422);
    assert!(start.elapsed() < Duration::from_secs(5), "its header is enough");
    let reply = client.send("POST", "/v1/images", &[PNG], bomb.get_ref()).json();
    let message = reply["error"]["message"].as_str().unwrap();
    assert!(message.contains("10000 x 10000") && message.contains("at most 50000000"), "{message}");
    // Wrong forms.
    post("/v1/images", &["Content-Type: multipart/form-data"], b"", 400);
    let (kind, body) = form(&scene, &[("expression", "the red star"), ("unknown", "1")]);
    post("/v1/segment", &[&kind], &body, 400);
    post("/v1/segment", &[&kind], &body[..body.len() / 2], 400);
    let fields = [("expression", "the red star"), ("threshold", "high")];
    let (kind, body) = form(&scene, &fields);
    post("/v1/segment", &[&kind], &body, 400);
    // Paths.
    for path in [
        "/page/../../etc/passwd",
        "/page/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/etc/passwd",
        "/page/",
        "/v1",
    ] {
        refused(client, "GET", path, &[], b"", 404);
    }
    post("/v1/images/..%2f..%2fetc/segment", &[JSON], br#"{"expressions":["star"]}"#, 404);
    // Label Studio: other hosts and files.
    for place in
        ["http://evil.example/x.png", "/etc/passwd", "file:///etc/passwd", "//evil.example"]
    {
        let config = "<Image value='$image'/><BrushLabels name='t' toName='i'/>";
        let words = json!({ "result": [{ "value": { "text": ["the red star"] } }] });
        let json = json!({ "tasks": [{ "data": { "image": place } }], "label_config": config, "params": { "context": words } });
        post("/predict", &[JSON], json.to_string().as_bytes(), 400);
    }
    // Chunks without a length, more than is allowed.
    let mut stream = client.connect();
    client.write(&mut stream, "POST", "/v1/images", &[PNG, "Transfer-Encoding: chunked"], b"");
    let _ = stream.write_all(format!("{:x}\r\n", large.len()).as_bytes());
    let _ = stream.write_all(&large);
    assert_eq!(read_reply(&mut BufReader::new(stream)).unwrap().status, 413);
    // What is no HTTP has no answer in JSON, but a status.
    assert_eq!(client.send_raw(b"hello\r\n\r\n").unwrap().status, 400);
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    assert!(client.send_raw(head.as_bytes()).is_none_or(|reply| reply.status == 431));
    // A body that is cut short.
    let cut = format!(
        "POST /v1/images HTTP/1.1\r\nHost: {}\r\n{PNG}\r\nContent-Length: 1000\r\n\r\nabc",
        client.address
    );
    assert!(client.send_raw(cut.as_bytes()).is_none_or(|reply| reply.status == 400));

    let json = json!({ "expressions": ["the red star"] });
    assert_eq!(client.post_json(&segment, &json).status, 200, "the server goes on");
}

/// A server in this process, which is never told to end.
fn serve_with(limits: Limits, allow_origins: &[&str]) -> Client {
    let host = LabelStudioHost { url: "http://127.0.0.1:9".into(), key: "key".into() };
    let options = ServeOptions {
        bind: "127.0.0.1:0".parse().unwrap(),
        token: None,
        insecure: false,
        allow_origins: allow_origins.iter().map(ToString::to_string).collect(),
        cache_bytes: 1 << 20,
        limits,
        notice: None,
        label_studio: Some(host),
        log: |_| {},
    };
    let server = mllmseg::serve::Server::bind(options).unwrap();
    let client = Client::new(&server.address().unwrap().to_string());
    std::thread::spawn(move || server.run(&TINY));
    client
}

#[test]
fn a_slow_client_is_not_waited_for() {
    let receive = Duration::from_millis(300);
    let client = serve_with(Limits { receive, ..Limits::default() }, &[]);
    let start = Instant::now();
    let mut stream = client.connect();
    let head = format!(
        "POST /v1/images HTTP/1.1\r\nHost: {}\r\n{PNG}\r\nContent-Length: 9\r\n\r\n",
        client.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    let reply = read_reply(&mut BufReader::new(stream)).unwrap();
    assert_eq!(reply.status, 408);
    assert_eq!(reply.json()["error"]["code"], "TOO_SLOW");
    // A head that never ends.
    let mut stream = client.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
    let reply = read_reply(&mut BufReader::new(stream));
    assert!(reply.is_none_or(|reply| reply.status == 408));
    assert!(start.elapsed() < Duration::from_secs(20));
    // Nobody there: Label Studio's failure is the request's.
    let config = "<Image value='$image'/><BrushLabels name='t' toName='i'/>";
    let words = json!({ "result": [{ "value": { "text": ["the red star"] } }] });
    let tasks = json!([{ "data": { "image": "/data/upload/1.png" } }]);
    let json = json!({ "tasks": tasks, "label_config": config, "params": { "context": words } });
    refused(&client, "POST", "/predict", &[JSON], json.to_string().as_bytes(), 422);
}

#[test]
fn a_full_queue_is_said_and_who_leaves_is_not_computed() {
    let client = serve_with(Limits { queue: 1, ..Limits::default() }, &["https://labels.example"]);
    let id = client.add(&scene_file());
    let path = format!("/v1/images/{id}/segment");
    // One computes and one waits; of the rest some must be refused.
    let long: Vec<String> = (0..200).map(|i| format!("the red star {i}")).collect();
    let replies: Vec<_> = std::thread::scope(|scope| {
        let ask = || client.post_json(&path, &json!({ "expressions": &long[..64] }));
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let busy: Vec<_> = replies.iter().filter(|reply| reply.status == 503).collect();
    assert!(replies.iter().all(|reply| [200, 503].contains(&reply.status)));
    assert!(!busy.is_empty() && busy.len() < 8, "{}", busy.len());
    assert!(busy[0].head.to_ascii_lowercase().contains("retry-after:"));
    assert!(!busy[0].json()["detail"].as_str().unwrap().is_empty());

    let expressions = || {
        let metrics = String::from_utf8(client.get("/metrics").body).unwrap();
        let line = metrics.lines().find(|line| line.starts_with("mllmseg_expressions_total"));
        line.unwrap().rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    let before = expressions();
    let mut stream = client.connect();
    let body = json!({ "expressions": long }).to_string();
    client.write(&mut stream, "POST", &path, &[JSON], body.as_bytes());
    std::thread::sleep(Duration::from_millis(200));
    drop(stream);
    assert_eq!(client.post_json(&path, &json!({ "expressions": ["the red star"] })).status, 200);
    let computed = expressions() - before;
    assert!(computed < 200, "all {computed} were computed for nobody");

    // A page that was allowed may ask, and its browser may read.
    let allowed = client.send("GET", "/v1/info", &["Origin: https://labels.example"], b"");
    assert_eq!(allowed.status, 200);
    let head = allowed.head.to_ascii_lowercase();
    assert!(head.contains("access-control-allow-origin: https://labels.example"), "{head}");
    let other = client.send("GET", "/v1/info", &["Origin: https://other.example"], b"");
    assert_eq!(other.status, 403);
    assert!(!other.head.to_ascii_lowercase().contains("access-control-allow-origin"));
}
