//! `mllmseg serve` over real sockets.

mod api;
mod browser;
mod client;
mod hostile;
mod load;
mod tools;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::LazyLock;

use image::RgbImage;
use mllmseg::data::image::read_image;
use mllmseg::{MaskPrediction, Segmenter, device, tiny};

use super::support::{mllmseg, root};
use client::Client;

/// The model that the servers have.
static TINY: LazyLock<Segmenter> =
    LazyLock::new(|| Segmenter::load(tiny::folder().unwrap(), &device::cpu()).unwrap());

/// The command, serving until it is dropped.
struct Server {
    child: Child,
    client: Client,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut command = mllmseg(["serve", "--device", "cpu", "--bind", "127.0.0.1:0"]);
        command.args(arguments).env_remove("MLLMSEG_TOKEN");
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let client = Client::new(address.unwrap_or_else(|| panic!("{line:?}")));
        Self { child, client }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn scene_file() -> Vec<u8> {
    std::fs::read(root().join("examples/scene.png")).unwrap()
}

fn scene() -> RgbImage {
    read_image(root().join("examples/scene.png")).unwrap()
}

/// The library's own answers about the example.
fn expected(expressions: &[&str]) -> Vec<MaskPrediction> {
    TINY.encode(&scene()).unwrap().segment_all(expressions).unwrap()
}
