//! Downloads from a small server on the loopback address: what arrives, how a broken transfer is
//! resumed, and what the error says when it cannot be.

use std::fs;
use std::net::TcpListener;

use serde_json::json;

use mllmseg::hub::Event;

use super::hub_server::*;
use super::support::{assert_says, names};

#[test]
fn a_broken_transfer_is_resumed() {
    let storage = Server::start(|request| match request.earlier {
        0 => Reply::file(request, weights()).cut(1_000_000, false),
        _ => Reply::file(request, weights()),
    });
    let to = format!("{}/signed", storage.address);
    let server = checkpoint_server(move |_| Reply::redirect(&to));

    let home = tempfile::tempdir().unwrap();
    let mut events = Vec::new();
    let mut log = |event: Event| match event {
        Event::Begins(bytes) => events.push(("begins".to_owned(), bytes.unwrap(), 0)),
        Event::Received(file, received, size) => events.push((file.to_owned(), received, size)),
    };
    let hub = hub(&server.address, home.path(), 3);
    let folder = hub.download(REPO, None, None, &mut log).unwrap();

    assert_eq!(folder, snapshot(home.path()));
    assert_eq!(names(&folder), ["config.json", WEIGHTS]);
    assert_eq!(fs::read_to_string(folder.join("config.json")).unwrap(), config());
    assert!(fs::read(folder.join(WEIGHTS)).unwrap() == weights(), "the contents differ");
    let stored = storage.requests_for("/signed");
    assert_eq!(stored.iter().map(|r| r.range).collect::<Vec<_>>(), [None, Some(1_000_000)]);
    let event = |file: &str, received, size| (file.to_owned(), received, size);
    let size = config().len() as u64;
    assert_eq!(events[..2], [event("config.json", 0, size), event("config.json", size, size)]);
    assert_eq!(events[2..4], [event("begins", 3_000_000, 0), event(WEIGHTS, 0, 3_000_000)]);
    assert!(events[3..].is_sorted() && events.contains(&event(WEIGHTS, 1_000_000, 3_000_000)));
    assert_eq!(events.iter().filter(|event| event.1 == event.2).count(), 2);
    assert_eq!(events.last(), Some(&event(WEIGHTS, 3_000_000, 3_000_000)));
    let branch = home.path().join("hub/models--owner--model/refs/main");
    assert_eq!(fs::read_to_string(branch).unwrap(), COMMIT);

    // The token is for the hub and not for its storage.
    let asked = server.requests_for(WEIGHTS);
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer hf_secret"));
    assert!(stored.iter().all(|request| request.authorization.is_none()));

    // What is there is not fetched again; a checkpoint in the cache needs no connection.
    download(&server.address, home.path(), 1).unwrap();
    assert_eq!(server.requests_for(WEIGHTS).len(), asked.len());
    let requests = server.requests_for("").len();
    assert_eq!(hub.checkpoint(REPO, None, &mut |_| {}).unwrap(), folder);
    assert_eq!(server.requests_for("").len(), requests);
    fs::remove_file(folder.join(WEIGHTS)).unwrap();
    assert_eq!(hub.checkpoint(REPO, Some("main"), &mut |_| {}).unwrap(), folder);
    assert_eq!(names(&folder), ["config.json", WEIGHTS]);
}

#[test]
fn the_next_run_resumes_a_stalled_transfer() {
    let server = checkpoint_server(|request| match request.earlier {
        0 => Reply::file(request, weights()).cut(123_456, true),
        _ => Reply::file(request, weights()),
    });
    let home = tempfile::tempdir().unwrap();
    let error = download(&server.address, home.path(), 1).unwrap_err();
    assert_says(&error, &[WEIGHTS, "at 123456 bytes", "timeout", "run the command again"]);
    let part = "model.safetensors.0123456789ab.part";
    assert_eq!(names(&snapshot(home.path())), ["config.json", part]);

    let folder = download(&server.address, home.path(), 1).unwrap();
    assert_eq!(server.requests_for(WEIGHTS)[1].range, Some(123_456));
    assert_eq!(names(&folder), ["config.json", WEIGHTS]);
    assert!(fs::read(folder.join(WEIGHTS)).unwrap() == weights(), "the contents differ");
}

#[test]
fn a_server_without_ranges_or_sizes_still_serves() {
    let server = Server::start(|request| {
        let plain = Request { range: None, ..request.clone() };
        match request.path.rsplit('/').next().unwrap() {
            "main?blobs=true" => {
                listing(json!([{"rfilename": "config.json"}, {"rfilename": WEIGHTS}]))
            }
            "config.json" => Reply::file(&plain, config().as_bytes()),
            _ if request.earlier == 0 => Reply::file(&plain, weights()).cut(1_500_000, false),
            _ => Reply::file(&plain, weights()),
        }
    });
    let home = tempfile::tempdir().unwrap();
    let folder = download(&server.address, home.path(), 3).unwrap();
    assert_eq!(server.requests_for(WEIGHTS)[1].range, Some(1_500_000));
    assert!(fs::read(folder.join(WEIGHTS)).unwrap() == weights(), "the contents differ");
}

#[test]
fn only_what_a_checkpoint_needs_is_fetched() {
    let serve = |files: &str| {
        let files = files.to_owned();
        Server::start(move |request| match is_listing(request) {
            true => listing(files.split(' ').map(|n| json!({"rfilename": n})).collect()),
            false => Reply::file(request, config().as_bytes()),
        })
    };
    let fetched = |files: &str| {
        let (server, out) = (serve(files), tempfile::tempdir().unwrap());
        let hub = hub(&server.address, out.path(), 1);
        let folder = hub.download(REPO, None, Some(out.path()), &mut |_| {}).unwrap();
        assert_eq!(folder, out.path());
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

    assert_fails(&serve("config.json README.md"), &["no weights", "--revision"]);
    assert_fails(&serve("model.safetensors"), &["has no config.json"]);
}

/// A renamed model: the hub redirects to another path of its own, where it wants the token again.
#[test]
fn the_token_is_sent_again_within_the_hub() {
    let server = checkpoint_server(|_| Reply::redirect("/renamed"));
    assert_fails(&server, &["404"]);
    let asked = server.requests_for("/renamed");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer hf_secret"));
}

#[test]
fn refusals_say_what_to_do() {
    let all = |status: &'static str| Server::start(move |_| Reply::sized(status, ""));
    let weights = |status: &'static str| checkpoint_server(move |_| Reply::sized(status, ""));
    assert_fails(&all("404 Not Found"), &[REPO, "main", "404", "spelling", "--revision"]);
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let parts = [REPO, &status[..3], "HF_TOKEN", "accept its licence at http://127.0.0.1:"];
        assert_fails(&all(status), &parts);
        assert_fails(&weights(status), &parts);
    }
    assert_fails(&all("500 Oops"), &["status 500", "try again later"]);

    let server = weights("404 Not Found");
    assert_fails(&server, &[REPO, WEIGHTS, "404", "--revision"]);
    assert_eq!(server.requests_for(WEIGHTS).len(), 1, "a missing file is not asked for again");
    assert_fails(&weights("503 Busy"), &[WEIGHTS, "3 times", "status 503"]);

    let page = Server::start(|_| Reply::sized("200 OK", "<html>"));
    assert_fails(&page, &["description of a model", "HF_ENDPOINT"]);
}

#[test]
fn an_unreachable_hub_is_named() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home = tempfile::tempdir().unwrap();
    let endpoint = format!("http://{unused}");
    let error = download(&endpoint, home.path(), 3).unwrap_err();
    assert_says(&error, &["cannot reach", &endpoint, "refused", "HF_ENDPOINT"]);

    let silent = Server::start(|_| Reply::new("200 OK\r\nContent-Length: 9", "").cut(0, true));
    assert_fails(&silent, &["timeout", "HF_ENDPOINT"]);
}

#[test]
fn endless_redirects_end() {
    let server = Server::start(|request| Reply::redirect(&request.path));
    assert_fails(&server, &["/api/models/owner/model", "redirects again and again"]);
    assert!(server.requests_for("").len() < 20);
    let server = checkpoint_server(|request| Reply::redirect(&request.path));
    assert_fails(&server, &[WEIGHTS, "redirects again and again"]);
}

#[test]
fn sizes_and_contents_must_be_as_announced() {
    let other = |size: usize| checkpoint_server(move |r| Reply::file(r, &vec![0; size]));
    assert_fails(&other(2_999_999), &["expected 3000000 bytes", "sends 2999999"]);
    assert_fails(&other(3_000_001), &["expected 3000000 bytes", "sends 3000001"]);
    assert_fails(&other(3_000_000), &["expected SHA-256", WEIGHTS_SHA256]);

    // In chunks, no length is announced: too many bytes show only as they come, too few at the end.
    let chunked = |size: usize| {
        checkpoint_server(move |request| {
            let rest = size.saturating_sub(request.range.unwrap_or(0));
            let mut body = format!("{rest:x}\r\n").into_bytes();
            body.extend(vec![0; rest]);
            body.extend(if rest > 0 { &b"\r\n0\r\n\r\n"[..] } else { b"\r\n" });
            let status = if request.range.is_some() { "206 Partial Content" } else { "200 OK" };
            Reply::new(format!("{status}\r\nTransfer-Encoding: chunked"), body)
        })
    };
    assert_fails(&chunked(3_000_001), &["sends more than 3000000"]);
    assert_fails(&chunked(2_000_000), &["at 2000000 bytes", "connection was closed"]);

    // A range from elsewhere must not be appended.
    let shifted = checkpoint_server(|request| match request.range {
        None => Reply::file(request, weights()).cut(1_000_000, false),
        Some(_) => Reply::sized("206 Partial Content\r\nContent-Range: bytes 0-4/3000000", "01234"),
    });
    let parts = ["expected bytes 1000000-2999999/3000000", "sends bytes 0-4/3000000"];
    assert_fails(&shifted, &parts);
}

#[test]
fn a_list_of_files_cannot_lead_elsewhere() {
    for bad in ["../x", "a/../../x.safetensors", "/etc/x", "..\\x", "C:x.json", "a b.safetensors"] {
        let server = Server::start(move |request| match is_listing(request) {
            true => listing(json!([{"rfilename": "config.json"}, {"rfilename": bad}])),
            false => Reply::file(request, b"{}"),
        });
        assert_fails(&server, &[&format!("{bad:?}"), "nothing was downloaded"]);
        assert_eq!(server.requests_for("").len(), 1, "{bad}: a file was fetched");
    }
    let commit = r#"{"sha": "../../..", "siblings": []}"#;
    let server = Server::start(move |_| Reply::sized("200 OK", commit));
    assert_fails(&server, &["\"../../..\" is not a commit"]);

    let home = tempfile::tempdir().unwrap();
    let hub = hub("localhost", home.path(), 1);
    let error = |repo, revision| hub.download(repo, revision, None, &mut |_| {}).unwrap_err();
    for repo in ["../x", "a/b/c", "", "a/", "a b/c", "owner/model?x"] {
        assert_says(error(repo, None), &["expected OWNER/NAME"]);
        assert!(hub.checkpoint(repo, None, &mut |_| {}).is_err());
    }
    assert_says(error(REPO, Some("../../x")), &["revision \"../../x\"", "branch, tag or commit"]);
    assert_says(error(REPO, None), &["HF_ENDPOINT \"localhost\""]);
}

/// A link to `/dev/full` stands in for the partial file: each write there finds the disk full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said() {
    let server = checkpoint_server(|request| Reply::file(request, weights()));
    let home = tempfile::tempdir().unwrap();
    let part = snapshot(home.path()).join("model.safetensors.0123456789ab.part");
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let error = download(&server.address, home.path(), 3).unwrap_err();
    assert_says(&error, &["disk is full", "3000000 bytes are still to come", "--out or HF_HOME"]);
    assert_eq!(server.requests_for(WEIGHTS).len(), 1, "a full disk is not tried again");
}

/// Two downloads of one file must not write the same partial file.
#[test]
fn a_second_download_of_the_same_file_is_refused() {
    let server = checkpoint_server(|request| Reply::file(request, weights()));
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(snapshot(home.path())).unwrap();
    let part = snapshot(home.path()).join("config.json.0123456789ab.part");
    let other = fs::File::create(&part).unwrap();
    other.lock().unwrap();
    let error = download(&server.address, home.path(), 3).unwrap_err();
    assert_says(&error, &["config.json", "another download"]);
    drop(other);
    download(&server.address, home.path(), 3).unwrap();
}
