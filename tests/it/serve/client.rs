//! A small HTTP client that can also misbehave.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone)]
pub struct Client {
    pub address: String,
}

/// A status, a head and a body.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The JSON of an answer with status 200.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }
}

impl Client {
    pub fn new(address: &str) -> Self {
        Self { address: address.into() }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    pub fn post_json(&self, path: &str, json: &Value) -> Reply {
        let body = json.to_string();
        self.send("POST", path, &["Content-Type: application/json"], body.as_bytes())
    }

    /// Adds an image and returns its id.
    #[track_caller]
    pub fn add(&self, file: &[u8]) -> String {
        let added = self.send("POST", "/v1/images", &["Content-Type: image/png"], file).ok();
        added["image_id"].as_str().unwrap().to_string()
    }

    /// One request on its own connection; `headers` may replace `Host`.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
        let mut stream = self.connect();
        self.write(&mut stream, method, path, &[headers, &["Connection: close"]].concat(), body);
        read_reply(&mut BufReader::new(stream)).unwrap()
    }

    /// Writes a request; the server may have answered and closed before it is whole.
    pub fn write(
        &self,
        stream: &mut TcpStream,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            head += &format!("Host: {}\r\n", self.address);
        }
        if !headers.iter().any(|header| header.starts_with("Transfer-Encoding:")) {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        for header in headers {
            head += &format!("{header}\r\n");
        }
        let _ = stream.write_all((head + "\r\n").as_bytes());
        let _ = stream.write_all(body);
    }

    /// Sends bytes as they are and ends; what comes back.
    pub fn send_raw(&self, bytes: &[u8]) -> Option<Reply> {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        read_reply(&mut BufReader::new(stream))
    }
}

/// One reply; none if the connection ends before its head does.
pub fn read_reply(reader: &mut impl BufRead) -> Option<Reply> {
    let mut head = String::new();
    loop {
        let before = head.len();
        reader.read_line(&mut head).ok().filter(|read| *read > 0)?;
        if head[before..] == *"\r\n" {
            break;
        }
    }
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let lower = head.to_ascii_lowercase();
    let field = |name: &str| {
        lower.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let mut body = Vec::new();
    if field("transfer-encoding") == Some("chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let size = u64::from_str_radix(line.trim(), 16).ok()?;
            reader.take(size).read_to_end(&mut body).ok()?;
            reader.read_line(&mut line).ok()?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = field("content-length").and_then(|length| length.parse().ok()) {
        reader.take(length).read_to_end(&mut body).ok()?;
    }
    Some(Reply { status, head, body })
}

/// A form with an image and fields; its content type and its body.
pub fn form(file: &[u8], fields: &[(&str, &str)]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    let head = "--edge\r\nContent-Disposition: form-data; name=\"image\"; filename=\"x.png\"\r\n\
                Content-Type: image/png\r\n\r\n";
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(file);
    for (name, value) in fields {
        let part =
            format!("\r\n--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
        body.extend_from_slice(part.as_bytes());
    }
    body.extend_from_slice(b"\r\n--edge--\r\n");
    ("Content-Type: multipart/form-data; boundary=edge".into(), body)
}
