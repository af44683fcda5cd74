//! A server with a checkpoint of one small and one large file, and downloads from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mllmseg::hub::{Hub, HubError, Limits};

use super::{Reply, Request, Server};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REPO: &str = "owner/model";
pub const WEIGHTS: &str = "model.safetensors";
/// Python: hashlib.sha256(bytes((i * 7 + i // 256) & 0xff for i in range(3_000_000))).hexdigest()
pub const WEIGHTS_SHA256: &str = "6ba4692bb1d46d4e96288fae575945dfcb6f2e019ef92499b248f6a69e4c1913";

pub fn weights() -> Vec<u8> {
    (0..3_000_000_u32).map(|i| (i * 7 + i / 256) as u8).collect()
}

pub fn listing(files: &[(&str, Option<usize>, Option<&str>)]) -> Reply {
    let siblings: Vec<_> = files
        .iter()
        .map(|(name, size, sha256)| match (size, sha256) {
            (None, _) => serde_json::json!({"rfilename": name}),
            (Some(size), None) => serde_json::json!({"rfilename": name, "size": size}),
            (Some(size), Some(sha256)) => serde_json::json!({
                "rfilename": name, "size": size, "lfs": {"sha256": sha256, "size": size},
            }),
        })
        .collect();
    Reply::json(serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string())
}

pub fn is_listing(request: &Request) -> bool {
    request.path == format!("/api/models/{REPO}/revision/main?blobs=true")
}

/// A hub with one small and one large file, the large one answered by `answer`.
pub fn checkpoint_server(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request| {
        if is_listing(request) {
            let large = (WEIGHTS, Some(3_000_000), Some(WEIGHTS_SHA256));
            listing(&[("README.md", Some(10), None), ("config.json", Some(2), None), large])
        } else if request.path == format!("/{REPO}/resolve/{COMMIT}/config.json") {
            Reply::file(request, b"{}")
        } else if request.path == format!("/{REPO}/resolve/{COMMIT}/{WEIGHTS}") {
            answer(request)
        } else {
            Reply::status("404 Not Found")
        }
    })
}

/// A hub that allows `attempts` broken transfers and little time.
pub fn hub(endpoint: &str, home: &Path, attempts: u32) -> Hub {
    let limits = Limits {
        connect: Duration::from_secs(2),
        response: Duration::from_secs(2),
        read: Duration::from_millis(300),
        attempts,
        pause: Duration::from_millis(1),
    };
    Hub::new(endpoint, &home.join("hub"), Some("hf_secret"), limits).unwrap()
}

/// Downloads `owner/model`, which must end, well or badly, within ten seconds.
pub fn download(endpoint: &str, home: &Path, attempts: u32) -> Result<PathBuf, HubError> {
    let begun = Instant::now();
    let result = hub(endpoint, home, attempts).download(REPO, None, None, &mut ());
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    result
}

/// The message of a download that must fail.
pub fn failure(server: &Server, attempts: u32) -> String {
    let home = tempfile::tempdir().unwrap();
    let message = download(&server.address, home.path(), attempts).unwrap_err().to_string();
    assert!(!message.contains("hf_secret"));
    assert!(!snapshot(home.path()).join(WEIGHTS).exists(), "a file that is not whole has its name");
    message
}

pub fn snapshot(home: &Path) -> PathBuf {
    home.join("hub/models--owner--model/snapshots").join(COMMIT)
}

pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[track_caller]
pub fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}
