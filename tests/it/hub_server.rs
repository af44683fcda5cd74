//! A small HTTP server on the loopback address that answers as a test wants, badly if need be; a
//! checkpoint of one small and one large file; and downloads of it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mllmseg::hub::{Hub, HubError, Proxies};
use mllmseg::model::Preset;
use serde_json::{Value, json};

use super::support::assert_says;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REPO: &str = "owner/model";
pub const WEIGHTS: &str = "model.safetensors";
/// Python: hashlib.sha256(bytes((i * 7 + i // 256) & 0xff for i in range(3_000_000))).hexdigest()
pub const WEIGHTS_SHA256: &str = "6ba4692bb1d46d4e96288fae575945dfcb6f2e019ef92499b248f6a69e4c1913";

#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    /// The first word of the request: GET, or CONNECT to a proxy.
    pub method: String,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
    /// The first byte of `Range: bytes=FIRST-`.
    pub range: Option<usize>,
    /// How often the path was asked for before.
    pub earlier: usize,
}

/// An answer: the status line with the headers, the body, and whether the connection then hangs.
pub struct Reply {
    head: String,
    body: Vec<u8>,
    hang: bool,
}

impl Reply {
    pub fn new(head: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { head: head.into(), body: body.into(), hang: false }
    }

    pub fn sized(head: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::new(format!("{head}\r\nContent-Length: {}", body.len()), body)
    }

    pub fn redirect(to: &str) -> Self {
        Self::sized(&format!("302 Found\r\nLocation: {to}"), "")
    }

    /// `contents`, or what the request's range wants of it.
    pub fn file(request: &Request, contents: &[u8]) -> Self {
        let Some(first) = request.range else { return Self::sized("200 OK", contents) };
        let (last, size) = (contents.len() - 1, contents.len());
        let range = format!("Content-Range: bytes {first}-{last}/{size}");
        Self::sized(&format!("206 Partial Content\r\n{range}"), &contents[first..])
    }

    /// The connection ends (or hangs) after `bytes` of the body.
    pub fn cut(mut self, bytes: usize, hang: bool) -> Self {
        self.body.truncate(bytes);
        Self { hang, ..self }
    }
}

/// Serves until the test program ends. Each connection has one request and its own thread.
pub struct Server {
    /// As `HF_ENDPOINT` would name it.
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (requests.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer) = (log.clone(), answer.clone());
                thread::spawn(move || serve(stream.unwrap(), &log, &*answer));
            }
        });
        Self { address, requests }
    }

    /// The requests whose path ends in `file`, in order.
    pub fn requests_for(&self, file: &str) -> Vec<Request> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.path.ends_with(file)).cloned().collect()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Reply) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let Some(first) = lines.first() else { return };
    let mut first = first.split(' ');
    let (Some(method), Some(path)) = (first.next(), first.next()) else { return };
    let header = |wanted: &str| {
        let headers = lines.iter().filter_map(|line| line.split_once(": "));
        headers.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, v)| v).next()
    };
    let range = header("Range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    let mut requests = log.lock().unwrap();
    let request = Request {
        path: path.to_owned(),
        method: method.to_owned(),
        authorization: header("Authorization").map(str::to_owned),
        range: range.map(|first| first.parse().unwrap()),
        earlier: requests.iter().filter(|request| request.path == path).count(),
    };
    requests.push(request.clone());
    drop(requests);

    let reply = answer(&request);
    let head = format!("HTTP/1.1 {}\r\nConnection: close\r\n\r\n", reply.head);
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&reply.body));
    if reply.hang {
        thread::sleep(Duration::from_secs(5));
    }
}

pub fn weights() -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..3_000_000_u32).map(|i| (i * 7 + i / 256) as u8).collect());
    &BYTES
}

/// A configuration that can run.
pub fn config() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| Preset::Tiny.config().to_json(None).to_string());
    &TEXT
}

/// The hub's list of files.
pub fn listing(files: Value) -> Reply {
    Reply::sized("200 OK", json!({"sha": COMMIT, "siblings": files}).to_string())
}

pub fn is_listing(request: &Request) -> bool {
    request.path == format!("/api/models/{REPO}/revision/main?blobs=true")
}

/// A hub with one small and one large file, the large one answered by `answer`.
pub fn checkpoint_server(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request| {
        match request.path.strip_prefix(&format!("/{REPO}/resolve/{COMMIT}/")) {
            Some("config.json") => Reply::file(request, config().as_bytes()),
            Some(WEIGHTS) => answer(request),
            _ if is_listing(request) => listing(json!([
                {"rfilename": "README.md", "size": 10},
                {"rfilename": "config.json", "size": config().len()},
                {"rfilename": WEIGHTS, "size": 3_000_000, "lfs": {"sha256": WEIGHTS_SHA256}},
            ])),
            _ => Reply::sized("404 Not Found", ""),
        }
    })
}

/// A hub that allows `attempts` broken transfers and little time.
pub fn hub(endpoint: &str, home: &Path, attempts: u32) -> Hub {
    let (endpoint, token) = (endpoint.to_owned(), Some("hf_secret".to_owned()));
    let (timeout, pause) = (Duration::from_secs(1), Duration::from_millis(1));
    let (proxies, offline) = (Proxies::default(), false);
    Hub { endpoint, cache: home.join("hub"), token, timeout, attempts, pause, proxies, offline }
}

/// Downloads `owner/model`, which must end, well or badly, within ten seconds.
pub fn download(endpoint: &str, home: &Path, attempts: u32) -> Result<PathBuf, HubError> {
    let begun = Instant::now();
    let result = hub(endpoint, home, attempts).download(REPO, None, None, &mut |_| {});
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    result
}

/// A download must fail with a message that has all `parts`.
#[track_caller]
pub fn assert_fails(server: &Server, parts: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let error = download(&server.address, home.path(), 3).unwrap_err();
    assert!(!error.to_string().contains("hf_secret"));
    assert!(!snapshot(home.path()).join(WEIGHTS).exists(), "a file that is not whole has its name");
    assert_says(&error, parts);
}

pub fn snapshot(home: &Path) -> PathBuf {
    home.join("hub/models--owner--model/snapshots").join(COMMIT)
}
