//! A hub on the loopback address with one checkpoint, which serves slowly enough to be killed.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::json;

/// The model on the hub.
pub const REPO: &str = "owner/model";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CONFIG: &[u8] = include_bytes!("../../../assets/tiny/config.json");
const WEIGHTS: &[u8] = include_bytes!("../../../assets/tiny/model.safetensors");
/// A chunk is sent each millisecond.
const CHUNK: usize = 16 << 10;

/// Serves until the program ends. Returns the address, as `HF_ENDPOINT` names it.
pub fn serve() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that was killed is no error of this side.
            thread::spawn(move || answer(stream).ok());
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines().map_while(Result::ok);
    let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let range = lines.iter().find_map(|line| {
        let line = line.to_ascii_lowercase();
        line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse::<usize>().ok()
    });
    let listing = json!({"sha": COMMIT, "siblings": [
        {"rfilename": "config.json", "size": CONFIG.len()},
        {"rfilename": "model.safetensors", "size": WEIGHTS.len()},
    ]});
    let listing = listing.to_string();
    let body = match path.rsplit('/').next() {
        Some("config.json") => CONFIG,
        Some("model.safetensors") => WEIGHTS,
        _ => listing.as_bytes(),
    };
    let first = range.unwrap_or(0).min(body.len());
    let head = match range {
        Some(_) => format!(
            "206 Partial Content\r\nContent-Range: bytes {first}-{}/{}",
            body.len() - 1,
            body.len()
        ),
        None => "200 OK".into(),
    };
    write!(
        stream,
        "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len() - first
    )?;
    for chunk in body[first..].chunks(CHUNK) {
        stream.write_all(chunk)?;
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
