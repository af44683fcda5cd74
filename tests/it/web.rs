//! The page with the model inside, as `cargo xtask web` makes it, in a real browser.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use base64::prelude::{BASE64_STANDARD, Engine};
use mllmseg::data::image::read_image;
use mllmseg::{Segmenter, device, tiny};
use serde_json::{Value, json};

use super::chromium::{Chromium, find};
use super::hub_server::{Reply, Server};
use super::support::root;

/// Those of the README, the last of which is not in the picture.
const EXPRESSIONS: [&str; 5] = [
    "all the yellow triangles",
    "the green ring",
    "the red star",
    "the small star",
    "the blue circle",
];
/// Between the browser and this machine, of probabilities of the same weights.
const TOLERANCE: f32 = 1e-3;

/// `MLLMSEG_SCREENSHOTS=docs` keeps a picture of the page.
#[test]
#[ignore = "needs `cargo xtask web`; `cargo xtask ci` runs both"]
fn the_page_computes_as_this_machine_does_and_opens_offline() {
    let Some(program) = find() else {
        eprintln!("skipped: no Chromium in /usr/bin");
        return;
    };
    let dist = root().join(xtask::web::DIST);
    let offline = Arc::new(AtomicBool::new(false));
    let (folder, is_offline) = (dist.clone(), offline.clone());
    let server = Server::start(move |request| match is_offline.load(SeqCst) {
        true => Reply::sized("503 Service Unavailable", ""),
        false => file_reply(&folder, &request.path),
    });
    let downloads = tempfile::tempdir().unwrap();
    let mut page = Chromium::start(program, downloads.path());
    let size = json!({ "width": 1180, "height": 900, "deviceScaleFactor": 1, "mobile": false });
    page.call("Emulation.setDeviceMetricsOverride", size);
    page.call("Page.navigate", json!({ "url": format!("{}/", server.address) }));
    ask_everything(&mut page);
    compare(&mut page, &dist.join("model"));
    page.evaluate("document.getElementById('maps').click()");
    page.wait_for("document.querySelectorAll('#layers li').length === 3");
    page.evaluate("document.querySelector('#layers button').click()");
    screenshot(&mut page);

    // The same, with a server that has nothing, once the page is kept.
    page.wait_for(
        "navigator.serviceWorker.ready.then((worker) => worker.active.state === 'activated')",
    );
    offline.store(true, SeqCst);
    page.call("Page.reload", json!({}));
    ask_everything(&mut page);
    page.evaluate("document.getElementById('another').click()");
    page.wait_for("document.querySelectorAll('#answers li').length === 0");
    page.wait_for("document.activeElement.id === 'words'");

    for event in &page.events {
        let method = event["method"].as_str().unwrap_or_default();
        assert!(method != "Runtime.exceptionThrown", "{event}");
        let level = [&event["params"]["entry"]["level"], &event["params"]["type"]];
        assert!(!level.iter().any(|level| **level == "error"), "{event}");
        let url = event["params"]["request"]["url"].as_str().unwrap_or(&server.address);
        let own = [&*server.address, "blob:", "data:"];
        assert!(own.iter().any(|own| url.starts_with(own)), "{url}");
    }
}

/// Takes the example, types the expressions, and prints the times.
fn ask_everything(page: &mut Chromium) {
    page.wait_for("document.getElementById('notice')?.innerText.includes('tiny model') === true");
    page.evaluate("document.getElementById('example').click()");
    for (index, expression) in EXPRESSIONS.iter().enumerate() {
        page.wait_for(
            "document.activeElement.id === 'words' && !document.getElementById('ask').disabled",
        );
        let status = page.evaluate("document.getElementById('status').innerText");
        eprintln!("{status}");
        page.type_and_enter(expression);
        let answers = "document.querySelectorAll('#answers li').length";
        page.wait_for(&format!("{answers} === {}", index + 1));
    }
    let answers = page.evaluate("document.getElementById('answers').innerText");
    assert_eq!(answers.as_str().unwrap().matches("not in the picture").count(), 1, "{answers}");
}

/// The probabilities in the page and those of this machine, by the weights of the page and by those that
/// travel with the program.
fn compare(page: &mut Chromium, model: &Path) {
    let image = read_image(root().join("examples/scene.png")).unwrap();
    let probabilities = |folder: &Path| {
        let segmenter = Segmenter::load(folder, &device::cpu()).unwrap();
        let found = segmenter.encode(&image).unwrap().segment_all(&EXPRESSIONS).unwrap();
        found.into_iter().map(|found| found.probabilities).collect::<Vec<_>>()
    };
    let (same, full) = (probabilities(model), probabilities(&tiny::folder().unwrap()));
    for (index, expression) in EXPRESSIONS.iter().enumerate() {
        let found = page.evaluate(&format!(
            "import('/page/backend.js').then(({{ backend }}) => backend.probabilities({expression:?})).then((found) => [...found])"
        ));
        let found: Vec<f32> =
            found.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect();
        let differ = |other: &[f32]| {
            assert_eq!(found.len(), other.len());
            found.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        let difference = differ(&same[index]);
        eprintln!("{expression}: {difference:e}, to weights of f32 {:e}", differ(&full[index]));
        assert!(difference < TOLERANCE, "{expression}: {difference}");
    }
}

fn screenshot(page: &mut Chromium) {
    let Some(folder) = std::env::var_os("MLLMSEG_SCREENSHOTS") else { return };
    let shot: Value = page.call("Page.captureScreenshot", json!({ "format": "png" }));
    let shot = BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
    fs::write(Path::new(&folder).join("web.png"), shot).unwrap();
}

/// As any file server answers.
fn file_reply(folder: &Path, path: &str) -> Reply {
    let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
    let path = if path.is_empty() { "index.html" } else { path };
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html",
        Some("css") => "text/css",
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    match fs::read(folder.join(path)) {
        Ok(bytes) => Reply::sized(&format!("200 OK\r\nContent-Type: {kind}"), bytes),
        Err(_) => Reply::sized("404 Not Found", ""),
    }
}
