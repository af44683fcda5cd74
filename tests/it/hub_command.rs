//! `--checkpoint OWNER/NAME`: a model of the hub as the commands use it, behind proxies and without a
//! connection.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::hub_server::*;
use super::support::*;

/// A hub with the tiny model under `owner/model`.
fn tiny_server() -> Server {
    let folder = root().join("assets/tiny");
    Server::start(move |request| {
        let names = names(&folder);
        let names = names.iter().filter(|name| *name != "README.md");
        let size = |name: &str| fs::metadata(folder.join(name)).unwrap().len();
        match request.path.strip_prefix(&format!("/{REPO}/resolve/{COMMIT}/")) {
            Some(name) => Reply::file(request, &fs::read(folder.join(name)).unwrap()),
            None if is_listing(request) => {
                listing(names.map(|name| json!({"rfilename": name, "size": size(name)})).collect())
            }
            None => Reply::sized("404 Not Found", ""),
        }
    })
}

/// The command with a cache of its own, and a hub.
fn with_hub(home: &Path, hub: &str, arguments: &[&str]) -> Command {
    let mut command = mllmseg(arguments);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    command.env("HF_HOME", home).env("HF_ENDPOINT", hub).env_remove("HF_HUB_OFFLINE");
    command.env("XDG_CACHE_HOME", home).current_dir(home);
    command
}

#[test]
fn a_model_of_the_hub_is_fetched_once_and_used_everywhere() {
    let server = tiny_server();
    let home = tempfile::tempdir().unwrap();
    let scene = root().join("examples/scene.png");
    let scene = scene.to_str().unwrap();
    let segment = ["segment", scene, "the red star", "--json", "--device", "cpu", "--checkpoint"];
    let mut command = with_hub(home.path(), &server.address, &segment);
    let output = command.arg(REPO).output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    let weights = fs::metadata(root().join("assets/tiny/model.safetensors")).unwrap().len();
    let says = format!("Fetching {REPO}: {:.2} MB", weights as f64 / 1e6);
    let says = says.trim_end_matches(" MB").rsplit_once('.').unwrap().0.to_owned();
    assert_says(errors(&output), &[&says, "model.safetensors"]);
    let fetched: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(fetched["checkpoint"], snapshot(home.path()).display().to_string());

    // From here on the cache is enough; a folder of this name would come first.
    let asked = server.requests_for("").len();
    let nowhere = "http://127.0.0.1:9";
    let again = printed_json(with_hub(home.path(), nowhere, &segment).arg(REPO));
    let masks = |json: &serde_json::Value| json["images"][0]["results"].clone();
    assert_eq!(masks(&again), masks(&fetched));
    let offline = |arguments: &[&str]| {
        let mut command = with_hub(home.path(), nowhere, arguments);
        command.env("HF_HUB_OFFLINE", "1");
        command
    };
    assert_eq!(printed_json(&mut offline(&["info", REPO, "--json"]))["name"], REPO);
    assert_says(printed(&mut offline(&["download", REPO])), &[REPO, "is in"]);
    let error = failure(&mut offline(&["merge-lora", REPO, "out"]));
    assert_says(&error, &["snapshots", "LoRA"]);
    let error = failure(&mut offline(&["info", "owner/other"]));
    assert_says(&error, &["no such folder here", "owner/other", "HF_HUB_OFFLINE"]);
    let error = failure(&mut offline(&["info", "owner/model@v2"]));
    assert_says(&error, &["HF_HUB_OFFLINE"]);
    assert_eq!(server.requests_for("").len(), asked);

    fs::create_dir_all(home.path().join(REPO)).unwrap();
    let error = failure(&mut with_hub(home.path(), nowhere, &["info", REPO]));
    assert_says(&error, &["owner/model/config.json"]);
}

/// A half download of another tool, which says at once what a revision means, is completed.
#[test]
fn shards_that_are_missing_are_fetched() {
    let home = tempfile::tempdir().unwrap();
    let folder = snapshot(home.path());
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(folder.join("../../refs")).unwrap();
    fs::write(folder.join("../../refs/main"), COMMIT).unwrap();
    fs::write(folder.join("config.json"), config()).unwrap();
    fs::write(folder.join("a.safetensors"), "").unwrap();
    let index = json!({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}});
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
    let mut hub = hub("http://127.0.0.1:9", home.path(), 1);
    hub.offline = true;
    assert_says(hub.checkpoint(REPO, None, &mut |_| {}).unwrap_err(), &["HF_HUB_OFFLINE"]);
    fs::write(folder.join("b.safetensors"), "").unwrap();
    assert_eq!(hub.checkpoint(REPO, None, &mut |_| {}).unwrap(), folder);
    assert_eq!(hub.checkpoint(REPO, Some(COMMIT), &mut |_| {}).unwrap(), folder);
}

#[test]
fn a_model_that_cannot_run_is_refused_before_its_weights_come() {
    let server = Server::start(|request| match is_listing(request) {
        true => listing(json!([{"rfilename": "config.json"}, {"rfilename": WEIGHTS}])),
        false => Reply::file(
            request,
            br#"{"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava"}"#,
        ),
    });
    assert_fails(&server, &[REPO, "LlavaForConditionalGeneration", "not fetched"]);
    assert!(server.requests_for(WEIGHTS).is_empty());
}

#[test]
fn bases_that_are_too_large_are_refused_by_name() {
    for (key, value, word) in [
        ("hidden_size", json!(5120), "14B"),
        ("architectures", json!(["Qwen3MoeForCausalLM"]), "mixtures of experts"),
        ("architectures", json!(["InternLM3ForCausalLM"]), "InternVL3-9B"),
    ] {
        let mut file: serde_json::Value = serde_json::from_str(config()).unwrap();
        file["llm_config"][key] = value;
        let server = Server::start(move |request| match is_listing(request) {
            true => listing(json!([{"rfilename": "config.json"}, {"rfilename": WEIGHTS}])),
            false => Reply::file(request, file.to_string().as_bytes()),
        });
        assert_fails(&server, &[REPO, "not fetched", key, word, "at most 8B"]);
        let home = tempfile::tempdir().unwrap();
        let mut info = with_hub(home.path(), &server.address, &["info", REPO]);
        assert_says(failure(&mut info), &[word]);
        assert!(server.requests_for(WEIGHTS).is_empty());
    }
}

/// Nobody's disk takes 2^60 bytes.
#[test]
fn what_the_disk_cannot_take_is_not_begun() {
    let server = Server::start(|request| match is_listing(request) {
        true => listing(json!([
            {"rfilename": "config.json", "size": config().len()},
            {"rfilename": WEIGHTS, "size": 1_u64 << 60},
        ])),
        false => Reply::file(request, config().as_bytes()),
    });
    assert_fails(&server, &["1152921504606846976 bytes are still to come", "HF_HOME"]);
    assert!(server.requests_for(WEIGHTS).is_empty());
}

/// A proxy that refuses every request: each variable leads to it, and `NO_PROXY` past it.
#[test]
fn proxies_are_never_gone_round() {
    let server = tiny_server();
    let proxy = Server::start(|_| Reply::sized("403 Forbidden", ""));
    let address = proxy.address.strip_prefix("http://").unwrap();
    let home = tempfile::tempdir().unwrap();
    let info = |variables: &[(&str, &str)]| {
        let mut command = with_hub(home.path(), &server.address, &["info", REPO]);
        command.envs(variables.iter().copied());
        command
    };
    for (number, name) in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"].into_iter().enumerate() {
        let error = failure(&mut info(&[(name, &proxy.address)]));
        assert_says(&error, &["through the proxy", address]);
        assert_eq!(proxy.requests_for("").len(), number + 1);
    }
    let hub = server.address.strip_prefix("http://").unwrap();
    let asked = &proxy.requests_for("")[0];
    assert_eq!((&*asked.method, &*asked.path), ("CONNECT", hub));

    // SOCKS: nothing listens there.
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let socks = format!("socks5h://{unused}");
    let error = failure(&mut info(&[("ALL_PROXY", &socks)]));
    assert_says(&error, &["through the proxy socks5h", "refused"]);
    let error = failure(&mut info(&[("HTTP_PROXY", "ftp://user:secret@x")]));
    assert_says(&error, &["HTTP_PROXY", "socks5"]);
    assert!(!error.contains("secret"));
    assert!(server.requests_for("").is_empty(), "the proxy was gone round");

    let both = [("HTTP_PROXY", &*proxy.address), ("NO_PROXY", "127.0.0.1")];
    assert_says(printed(&mut info(&both)), &["weights: "]);
}

#[test]
fn a_wrong_certificate_file_is_named() {
    let home = tempfile::tempdir().unwrap();
    let empty = home.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    for file in [empty.as_path(), Path::new("/no/such.pem")] {
        let mut command = with_hub(home.path(), "https://127.0.0.1:9", &["info", REPO]);
        let error = failure(command.env("SSL_CERT_FILE", file));
        assert_says(&error, &["SSL_CERT_FILE", file.to_str().unwrap(), "PEM"]);
    }
}
