//! A small HTTP server on the loopback address that answers as a test wants, badly if need be.

pub mod checkpoint;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const MOST_REQUESTS: usize = 100;

#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    /// With their names in lower case.
    pub headers: HashMap<String, String>,
    /// How often the path was asked for before.
    pub earlier: usize,
}

impl Request {
    /// The first byte of `Range: bytes=FIRST-`.
    pub fn range(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
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

    pub fn status(status: &str) -> Self {
        Self::new(format!("{status}\r\nContent-Length: 0"), "")
    }

    pub fn json(body: String) -> Self {
        Self::new(format!("200 OK\r\nContent-Length: {}", body.len()), body)
    }

    pub fn redirect(to: String) -> Self {
        Self::new(format!("302 Found\r\nLocation: {to}\r\nContent-Length: 0"), "")
    }

    /// `contents`, or what the request's range wants of it.
    pub fn file(request: &Request, contents: &[u8]) -> Self {
        let size = contents.len();
        match request.range() {
            None => Self::new(format!("200 OK\r\nContent-Length: {size}"), contents),
            Some(first) => {
                let rest = &contents[first..];
                let (last, left) = (size - 1, rest.len());
                let range = format!("Content-Range: bytes {first}-{last}/{size}");
                let head = format!("206 Partial Content\r\nContent-Length: {left}\r\n{range}");
                Self::new(head, rest)
            }
        }
    }

    /// The connection ends (or hangs) after `bytes` of the body.
    pub fn cut(mut self, bytes: usize, hang: bool) -> Self {
        self.body.truncate(bytes);
        self.hang = hang;
        self
    }
}

/// Serves until dropped; each connection has one request, five seconds, and its own thread.
pub struct Server {
    /// As `HF_ENDPOINT` would name it.
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (log, stopped, answer) = (requests.clone(), stop.clone(), Arc::new(answer));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().take(MOST_REQUESTS) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (log, stopped, answer) = (log.clone(), stopped.clone(), answer.clone());
                thread::spawn(move || serve(stream.unwrap(), &log, &stopped, &*answer));
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    /// How many requests came so far.
    pub fn request_count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The requests whose path ends in `file`, in order.
    pub fn requests_for(&self, file: &str) -> Vec<Request> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.path.ends_with(file)).cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Request>>,
    stopped: &AtomicBool,
    answer: &dyn Fn(&Request) -> Reply,
) {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap().to_owned();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned())))
        .collect();
    let mut requests = log.lock().unwrap();
    let earlier = requests.iter().filter(|request| request.path == path).count();
    let request = Request { path, headers, earlier };
    requests.push(request.clone());
    drop(requests);

    let reply = answer(&request);
    let head = format!("HTTP/1.1 {}\r\nConnection: close\r\n\r\n", reply.head);
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&reply.body));
    let begun = Instant::now();
    while reply.hang && !stopped.load(Ordering::SeqCst) && begun.elapsed().as_secs() < 5 {
        thread::sleep(Duration::from_millis(20));
    }
}
