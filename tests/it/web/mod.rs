//! The page with the model inside, and the book beside it, as `cargo xtask web` makes them, in a real browser.
//!
//! `MLLMSEG_SCREENSHOTS=docs` keeps pictures of the pages.

mod book;
mod compose;
mod gpu;
mod own;
mod page;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::chromium::{Chromium, find};
use super::hub_server::{Reply, Server};
use super::support::root;

/// The folder of the pages on a server, and a browser.
struct Site {
    page: Chromium,
    server: Server,
    /// Whether the server has nothing any more.
    is_offline: Arc<AtomicBool>,
    _downloads: TempDir,
}

impl Site {
    /// At one of its pages, without a GPU; none without a browser.
    fn open(path: &str) -> Option<Self> {
        Self::start(path, "--disable-gpu", "")
    }

    /// With a GPU, Chromium's own in software where there is no other, and a script before that of the worker.
    fn open_with_gpu(before_worker: &'static str) -> Option<Self> {
        Self::start("", "--enable-unsafe-webgpu", before_worker)
    }

    fn start(path: &str, graphics: &str, before_worker: &'static str) -> Option<Self> {
        let Some(program) = find() else {
            eprintln!("skipped: no Chromium in /usr/bin");
            return None;
        };
        let is_offline = Arc::new(AtomicBool::new(false));
        let (folder, offline) = (root().join(xtask::web::DIST), is_offline.clone());
        let server = Server::start(move |request| match offline.load(SeqCst) {
            true => Reply::sized("503 Service Unavailable", ""),
            false => file_reply(&folder, &request.path, before_worker),
        });
        let downloads = tempfile::tempdir().unwrap();
        let page = Chromium::start(program, downloads.path(), graphics);
        let mut site = Self { page, server, is_offline, _downloads: downloads };
        site.resize(1180, 900);
        site.go(path);
        Some(site)
    }

    fn go(&mut self, path: &str) {
        let url = format!("{}/{path}", self.server.address);
        self.page.call("Page.navigate", json!({ "url": url }));
    }

    fn resize(&mut self, width: u32, height: u32) {
        let mobile = width < 500;
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.page.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Pictures in light and dark colours and at a phone's width, on which nothing may be cut.
    fn screenshots(&mut self, name: &str) {
        for (scheme, width) in [("light", 1180), ("dark", 1180), ("light", 360)] {
            self.resize(width, 900);
            let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            self.page.call("Emulation.setEmulatedMedia", json!({ "features": features }));
            let fits = format!("document.documentElement.scrollWidth <= {width}");
            assert_eq!(self.page.evaluate(&fits), true, "{name} at a width of {width}");
            let Some(folder) = std::env::var_os("MLLMSEG_SCREENSHOTS") else { continue };
            let shot = self.page.call("Page.captureScreenshot", json!({ "format": "png" }));
            let shot = BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
            let file = format!("{name}-{scheme}-{width}.png");
            fs::write(Path::new(&folder).join(file), shot).unwrap();
        }
        self.resize(1180, 900);
    }

    /// Waits for the model, and takes the example.
    fn take_example(&mut self) {
        self.page.wait_for("document.getElementById('model')?.innerText.includes('tiny') === true");
        self.page.evaluate("document.getElementById('example').click()");
        self.wait_for_turn();
    }

    /// Waits until a question can be asked.
    fn wait_for_turn(&mut self) {
        self.page.wait_for(
            "document.activeElement.id === 'words' && !document.getElementById('ask').disabled",
        );
    }

    /// Asks, as the `count`-th question of a picture.
    fn ask(&mut self, expression: &str, count: usize) {
        self.wait_for_turn();
        self.page.type_and_enter(expression);
        let answers = "document.querySelectorAll('#answers li').length";
        self.page.wait_for(&format!("{answers} === {count}"));
    }

    /// Opens the page again, once it is kept, while the server has nothing.
    fn reload_offline(&mut self) {
        self.page.wait_for(
            "navigator.serviceWorker.ready.then((worker) => worker.active.state === 'activated')",
        );
        self.is_offline.store(true, SeqCst);
        self.page.call("Page.reload", json!({}));
        self.page.wait_for("document.getElementById('model')?.innerText.includes('tiny') === true");
    }

    /// Calls the back end of the page.
    fn backend(&mut self, call: &str) -> Value {
        self.page.evaluate(&format!(
            "import('/page/backend.js').then(({{ backend }}) => backend.{call})"
        ))
    }

    /// No script failed, nothing was reported, and nothing was asked of anyone else.
    fn assert_quiet(&self) {
        for event in &self.page.events {
            let method = event["method"].as_str().unwrap_or_default();
            assert!(method != "Runtime.exceptionThrown", "{event}");
            let level = [&event["params"]["entry"]["level"], &event["params"]["type"]];
            assert!(!level.iter().any(|level| **level == "error"), "{event}");
            let url = event["params"]["request"]["url"].as_str().unwrap_or(&self.server.address);
            let own = [&*self.server.address, "blob:", "data:"];
            assert!(own.iter().any(|own| url.starts_with(own)), "{url}");
        }
    }
}

/// As any file server answers.
fn file_reply(folder: &Path, path: &str, before_worker: &str) -> Reply {
    let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
    let path = if path.is_empty() { "index.html" } else { path };
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html",
        Some("css") => "text/css",
        Some("js") => "text/javascript",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let before = if path.ends_with("/worker.js") { before_worker } else { "" };
    match fs::read(folder.join(path)) {
        Ok(bytes) => {
            let content = [before.as_bytes(), &bytes].concat();
            Reply::sized(&format!("200 OK\r\nContent-Type: {kind}"), content)
        }
        Err(_) => Reply::sized("404 Not Found", ""),
    }
}
