//! `hub::download` against a small server on the loopback address: what arrives, how a broken
//! transfer goes on, and what is said when it cannot.

mod hub_server;

use std::fs;
use std::net::TcpListener;

use hub_server::checkpoint::*;
use hub_server::{Reply, Request, Server};
use mllmseg::hub::{Hub, Limits, Progress};

#[test]
fn a_broken_transfer_goes_on_where_it_stopped() {
    let storage = Server::start(|request| match request.earlier {
        0 => Reply::file(request, &weights()).cut(1_000_000, false),
        _ => Reply::file(request, &weights()),
    });
    let to = format!("{}/signed", storage.address);
    let server = checkpoint_server(move |_| Reply::redirect(to.clone()));

    /// Keeps what it is told.
    #[derive(Default)]
    struct Log(Vec<(String, u64)>, u64);
    impl Progress for Log {
        fn begin(&mut self, file: &str, size: u64) {
            self.0.push((file.to_owned(), size));
        }
        fn position(&mut self, bytes: u64) {
            self.1 = bytes;
        }
        fn finish(&mut self, _: &str) {}
    }
    let home = tempfile::tempdir().unwrap();
    let mut log = Log::default();
    let folder = hub(&server.address, home.path(), 3).download(REPO, None, None, &mut log).unwrap();

    assert_eq!(folder, snapshot(home.path()));
    assert_eq!(names(&folder), ["config.json", WEIGHTS]);
    assert_eq!(fs::read(folder.join("config.json")).unwrap(), b"{}");
    assert!(fs::read(folder.join(WEIGHTS)).unwrap() == weights(), "the contents differ");
    let ranges: Vec<_> = storage.requests_for("/signed").iter().map(Request::range).collect();
    assert_eq!(ranges, [None, Some(1_000_000)]);
    let both = (WEIGHTS.to_owned(), 3_000_000);
    assert_eq!(log.0, [("config.json".to_owned(), 2), both.clone(), both]);
    assert_eq!(log.1, 3_000_000);
    let branch = home.path().join("hub/models--owner--model/refs/main");
    assert_eq!(fs::read_to_string(branch).unwrap(), COMMIT);

    // The token is for the hub and not for its storage.
    let asked = server.requests_for(WEIGHTS);
    assert_eq!(asked[0].headers["authorization"], "Bearer hf_secret");
    let stored = storage.requests_for("/signed");
    assert!(stored.iter().all(|request| !request.headers.contains_key("authorization")));

    // What is there is not fetched again.
    download(&server.address, home.path(), 1).unwrap();
    assert_eq!(server.requests_for(WEIGHTS).len(), asked.len());
}

#[test]
fn the_next_run_resumes_a_stalled_transfer() {
    let server = checkpoint_server(|request| match request.earlier {
        0 => Reply::file(request, &weights()).cut(123_456, true),
        _ => Reply::file(request, &weights()),
    });
    let home = tempfile::tempdir().unwrap();
    let message = download(&server.address, home.path(), 1).unwrap_err().to_string();
    assert_says(&message, &[WEIGHTS, "at 123456 bytes", "timeout", "run the command again"]);
    let part = "model.safetensors.0123456789ab.part";
    assert_eq!(names(&snapshot(home.path())), ["config.json", part]);

    let folder = download(&server.address, home.path(), 1).unwrap();
    assert_eq!(server.requests_for(WEIGHTS)[1].range(), Some(123_456));
    assert_eq!(names(&folder), ["config.json", WEIGHTS]);
    assert!(fs::read(folder.join(WEIGHTS)).unwrap() == weights(), "the contents differ");
}

#[test]
fn a_server_without_ranges_or_sizes_still_serves() {
    let server = Server::start(|request| {
        let mut plain = request.clone();
        plain.headers.remove("range");
        match request.path.rsplit('/').next().unwrap() {
            "main?blobs=true" => listing(&[("config.json", None, None), (WEIGHTS, None, None)]),
            "config.json" => Reply::file(&plain, b"{}"),
            _ if request.earlier == 0 => Reply::file(&plain, &weights()).cut(1_500_000, false),
            _ => Reply::file(&plain, &weights()),
        }
    });
    let home = tempfile::tempdir().unwrap();
    let folder = download(&server.address, home.path(), 3).unwrap();
    assert_eq!(server.requests_for(WEIGHTS)[1].range(), Some(1_500_000));
    assert!(fs::read(folder.join(WEIGHTS)).unwrap() == weights(), "the contents differ");
}

#[test]
fn only_what_a_checkpoint_needs_is_fetched() {
    let serve = |files: &str| {
        let files = files.to_owned();
        Server::start(move |request| match is_listing(request) {
            true => listing(&files.split(' ').map(|n| (n, Some(2), None)).collect::<Vec<_>>()),
            false => Reply::file(request, b"{}"),
        })
    };
    let fetched = |files: &str| {
        let (server, out) = (serve(files), tempfile::tempdir().unwrap());
        let hub = hub(&server.address, out.path(), 1);
        assert_eq!(hub.download(REPO, None, Some(out.path()), &mut ()).unwrap(), out.path());
        names(out.path()).join(" ")
    };
    let shards = "config.json merges.txt model-00001-of-00002.safetensors model-00002-of-00002.safetensors \
                  model.safetensors.index.json";
    let tokenizer = "special_tokens_map.json tokenizer.json tokenizer.model tokenizer_config.json \
                     vocab.json";
    let others = ".gitattributes README.md modeling.py pytorch_model.bin training_args.bin \
                  examples/image.png onnx/x.safetensors";
    let expected = format!("added_tokens.json {shards} {tokenizer}");
    assert_eq!(fetched(&format!("{others} {expected}")), expected);

    let pytorch = "config.json pytorch_model-00001-of-00001.bin pytorch_model.bin.index.json";
    assert_eq!(fetched(&format!("training_args.bin {pytorch}")), pytorch);

    assert_says(&failure(&serve("config.json README.md"), 1), &["no weights", "--revision"]);
    assert_says(&failure(&serve("model.safetensors"), 1), &["has no config.json"]);
}

/// A renamed model: the hub leads to another path of its own, where it wants the token again.
#[test]
fn the_token_goes_along_within_the_hub() {
    let server = checkpoint_server(|request| match request.path.contains("resolve") {
        true => Reply::redirect("/renamed".to_owned()),
        false => Reply::status("404 Not Found"),
    });
    failure(&server, 1);
    let asked = server.requests_for("/renamed");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].headers["authorization"], "Bearer hf_secret");
}

#[test]
fn refusals_say_what_to_do() {
    let all = |status: &'static str| Server::start(move |_| Reply::status(status));
    let parts = [REPO, "main", "404", "spelling", "--revision"];
    assert_says(&failure(&all("404 Not Found"), 3), &parts);
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let parts = [REPO, &status[..3], "HF_TOKEN", "accept its licence at http://127.0.0.1:"];
        assert_says(&failure(&all(status), 3), &parts);
        assert_says(&failure(&checkpoint_server(move |_| Reply::status(status)), 3), &parts);
    }
    assert_says(&failure(&all("500 Oops"), 3), &["status 500", "try again later"]);

    let server = checkpoint_server(|_| Reply::status("404 Not Found"));
    assert_says(&failure(&server, 3), &[REPO, WEIGHTS, "404", "--revision"]);
    assert_eq!(server.requests_for(WEIGHTS).len(), 1, "a missing file is not asked for again");
    let server = checkpoint_server(|_| Reply::status("503 Busy"));
    assert_says(&failure(&server, 3), &[WEIGHTS, "3 times", "status 503"]);

    let page = Server::start(|_| Reply::json("<html>".to_owned()));
    assert_says(&failure(&page, 3), &["description of a model", "HF_ENDPOINT"]);
}

#[test]
fn an_unreachable_hub_is_named() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home = tempfile::tempdir().unwrap();
    let endpoint = format!("http://{unused}");
    let message = download(&endpoint, home.path(), 3).unwrap_err().to_string();
    assert_says(&message, &["cannot reach", &endpoint, "refused", "HF_ENDPOINT"]);

    let silent = Server::start(|_| Reply::new("200 OK\r\nContent-Length: 9", "").cut(0, true));
    assert_says(&failure(&silent, 3), &["timeout", "HF_ENDPOINT"]);
}

#[test]
fn endless_redirects_end() {
    let server = Server::start(|request| Reply::redirect(request.path.clone()));
    assert_says(&failure(&server, 3), &["/api/models/owner/model", "redirects again and again"]);
    assert!(server.request_count() < 20);
    let server = checkpoint_server(|request| Reply::redirect(request.path.clone()));
    assert_says(&failure(&server, 3), &[WEIGHTS, "redirects again and again"]);
}

#[test]
fn sizes_and_contents_must_be_as_announced() {
    let other = |size: usize| checkpoint_server(move |r| Reply::file(r, &vec![0; size]));
    assert_says(&failure(&other(2_999_999), 3), &["expected 3000000 bytes", "sends 2999999"]);
    assert_says(&failure(&other(3_000_001), 3), &["expected 3000000 bytes", "sends 3000001"]);
    assert_says(&failure(&other(3_000_000), 3), &["expected SHA-256", WEIGHTS_SHA256]);

    // In chunks, no length is announced: too many bytes show only as they come, too few at the end.
    let chunked = |size: usize| {
        checkpoint_server(move |request| {
            let rest = size.saturating_sub(request.range().unwrap_or(0));
            let mut body = format!("{rest:x}\r\n").into_bytes();
            body.extend(vec![0; rest]);
            body.extend(if rest > 0 { &b"\r\n0\r\n\r\n"[..] } else { b"\r\n" });
            let status = if request.range().is_some() { "206 Partial Content" } else { "200 OK" };
            Reply::new(format!("{status}\r\nTransfer-Encoding: chunked"), body)
        })
    };
    assert_says(&failure(&chunked(3_000_001), 3), &["sends more than 3000000"]);
    assert_says(&failure(&chunked(2_000_000), 3), &["at 2000000 bytes", "connection was closed"]);

    // A range from elsewhere must not be appended.
    let shifted = checkpoint_server(|request| match request.range() {
        None => Reply::file(request, &weights()).cut(1_000_000, false),
        Some(_) => Reply::new(
            "206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/3000000",
            "01234",
        ),
    });
    assert_says(&failure(&shifted, 3), &["from byte 0 instead of 1000000"]);
}

#[test]
fn a_list_of_files_cannot_lead_elsewhere() {
    let bad_names =
        ["../x", "a/../../x.safetensors", "/etc/x", "..\\x", "C:x.json", "a b.safetensors"];
    for bad in bad_names {
        let server = Server::start(move |request| match is_listing(request) {
            true => listing(&[("config.json", Some(2), None), (bad, Some(2), None)]),
            false => Reply::file(request, b"{}"),
        });
        let shown = format!("{bad:?}");
        assert_says(&failure(&server, 1), &[&shown, "nothing was downloaded"]);
        assert_eq!(server.request_count(), 1, "{bad}: a file was fetched");
    }
    let commit = Server::start(|_| Reply::json(r#"{"sha": "../../..", "siblings": []}"#.into()));
    assert_says(&failure(&commit, 1), &["\"../../..\" is no commit"]);

    let home = tempfile::tempdir().unwrap();
    let hub = hub("http://127.0.0.1:9", home.path(), 1);
    for repo in ["../x", "a/b/c", "", "a/", "a b/c", "owner/model?x"] {
        let message = hub.download(repo, None, None, &mut ()).unwrap_err().to_string();
        assert_says(&message, &["expected OWNER/NAME"]);
    }
    let message = hub.download(REPO, Some("../../x"), None, &mut ()).unwrap_err().to_string();
    assert_says(&message, &["revision \"../../x\"", "branch, tag or commit"]);
    let limits = Limits::default();
    let message = Hub::new("localhost", home.path(), None, limits).unwrap_err().to_string();
    assert_says(&message, &["HF_ENDPOINT \"localhost\""]);
}

/// A link to `/dev/full` stands in for the partial file: each write there finds the disk full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said() {
    let server = checkpoint_server(|request| Reply::file(request, &weights()));
    let home = tempfile::tempdir().unwrap();
    let part = snapshot(home.path()).join("model.safetensors.0123456789ab.part");
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let message = download(&server.address, home.path(), 3).unwrap_err().to_string();
    assert_says(&message, &["disk is full", "3000000 bytes are still to come", "--out or HF_HOME"]);
    assert_eq!(server.requests_for(WEIGHTS).len(), 1, "a full disk is not tried again");
}

/// Two downloads of one file must not write the same partial file.
#[test]
fn a_second_download_of_the_same_file_waits_for_the_first() {
    let server = checkpoint_server(|request| Reply::file(request, &weights()));
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(snapshot(home.path())).unwrap();
    let part = snapshot(home.path()).join("config.json.0123456789ab.part");
    let other = fs::File::create(&part).unwrap();
    other.lock().unwrap();
    let message = download(&server.address, home.path(), 3).unwrap_err().to_string();
    assert_says(&message, &["config.json", "another download"]);
    drop(other);
    download(&server.address, home.path(), 3).unwrap();
}
