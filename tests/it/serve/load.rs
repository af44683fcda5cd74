//! Many clients at once: no wrong answer, no connection without a status, steady memory.

use std::io::BufReader;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use image::imageops::{flip_horizontal, rotate90, rotate180};
use image::{ImageFormat, RgbImage};
use mllmseg::data::mask::{Bitmap, Rle};
use serde_json::{Value, json};

use super::client::{Client, form, read_reply};
use super::{Server, TINY, scene, scene_file};

const EXPRESSIONS: [&str; 5] = [
    "the red star",
    "all the yellow triangles",
    "the green ring",
    "the small star",
    "the blue circle",
];

/// An image, and the library's masks of the expressions in it.
struct Known {
    file: Vec<u8>,
    masks: Vec<Bitmap>,
}

fn images() -> Vec<Known> {
    let scene = scene();
    let turned = [scene.clone(), flip_horizontal(&scene), rotate90(&scene), rotate180(&scene)];
    let known = |image: RgbImage| {
        let mut file = std::io::Cursor::new(Vec::new());
        image.write_to(&mut file, ImageFormat::Png).unwrap();
        let session = TINY.encode(&image).unwrap();
        let masks = EXPRESSIONS.iter().map(|one| session.segment(one).unwrap().mask).collect();
        Known { file: file.into_inner(), masks }
    };
    turned.into_iter().map(known).collect()
}

/// Requests of every kind from so many clients; returns the number of each status.
fn load(client: &Client, known: &[Known], clients: usize, requests: usize) -> [usize; 4] {
    let (next, counts) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; 4]);
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let stream = client.connect();
                let mut writer = stream.try_clone().unwrap();
                let mut reader = BufReader::new(stream);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        return;
                    }
                    let image = &known[number * 7 % known.len()];
                    let which = number * 3 % EXPRESSIONS.len();
                    let expression = EXPRESSIONS[which];
                    let id = mllmseg_id(&image.file);
                    let path = format!("/v1/images/{id}/segment");
                    let (path, kind, body) = match number % 10 {
                        0..=1 => {
                            let (kind, body) = form(&image.file, &[("expression", expression)]);
                            ("/v1/segment".to_string(), kind, body)
                        }
                        2 => (path, "Content-Type: application/json".into(), b"{".to_vec()),
                        _ => {
                            let body = json!({ "expressions": [expression] }).to_string();
                            (path, "Content-Type: application/json".into(), body.into_bytes())
                        }
                    };
                    client.write(&mut writer, "POST", &path, &[&kind], &body);
                    let reply = read_reply(&mut reader).expect("an answer with a status");
                    let place = match (reply.status, number % 10) {
                        (422, 2) => 0,
                        (200, _) => {
                            check(&reply.json(), &image.masks[which], expression);
                            1
                        }
                        (404, 3..) => 2, // it has made way for others
                        (503, _) => 3,
                        _ => panic!("{number}: {reply:?}"),
                    };
                    counts[place].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    counts.map(AtomicUsize::into_inner)
}

/// What the server calls a file.
fn mllmseg_id(file: &[u8]) -> String {
    use ring::digest::{SHA256, digest};
    digest(&SHA256, file).as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The right mask: batches of other sizes may turn single pixels at the threshold.
fn check(answer: &Value, expected: &Bitmap, expression: &str) {
    let result = &answer["results"][0];
    assert_eq!(result["expression"], expression);
    let rle: Rle = serde_json::from_value(result["segmentation"].clone()).unwrap();
    let found = rle.to_bitmap();
    let differ = found.pixels().iter().zip(expected.pixels()).filter(|(a, b)| a != b).count();
    assert!(differ <= 2, "{expression}: {differ} pixels differ");
}

/// Resident memory of a process in bytes.
#[cfg(target_os = "linux")]
fn memory(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn many_clients_get_right_answers() {
    let server = Server::start(&["--cache-mb", "2"]);
    let counts = load(&server.client, &images(), 16, 200);
    assert_eq!(counts.iter().sum::<usize>(), 200);
    assert_eq!(counts[0], 20);
    assert!(counts[1] > 60, "{counts:?}");
}

/// `cargo test --release --workspace --features serve --test it serve::load -- --ignored --nocapture`
#[cfg(target_os = "linux")]
#[test]
#[ignore = "takes a minute"]
fn memory_is_flat_after_warm_up() {
    let server = Server::start(&["--cache-mb", "2"]);
    let known = images();
    load(&server.client, &known, 64, 1000);
    let (before, start) = (memory(server.child.id()), Instant::now());
    let counts = load(&server.client, &known, 64, 2000);
    let (after, time) = (memory(server.child.id()), start.elapsed());
    println!(
        "64 clients, 2000 requests in {time:.1?}: [422, 200, 404, 503] = {counts:?}; \
         {:.1} MB after warm-up, {:.1} MB at the end",
        before as f64 / 1e6,
        after as f64 / 1e6
    );
    assert_eq!(counts.iter().sum::<usize>(), 2000);
    assert!(after as f64 <= 1.05 * before as f64, "{before} bytes became {after}");
}

/// The costs that the book names (docs/book/src/serve.md).
#[test]
#[ignore = "measures"]
fn later_expressions_cost_less() {
    let server = Server::start(&[]);
    let client = &server.client;
    let ask = |id: &str, expressions: &[String]| {
        let json = json!({ "expressions": expressions });
        client.post_json(&format!("/v1/images/{id}/segment"), &json).ok();
    };
    let id = client.add(&scene_file());
    let sixteen: Vec<String> = (0..16).map(|i| format!("the red star {i}")).collect();
    // In turn, so that other work on the machine meets all of them.
    let mut times = [const { Vec::new() }; 4];
    for round in 0..40 {
        let mut file = scene_file();
        file.extend(std::iter::repeat_n(0, round + 1)); // another id each time
        let (kind, body) = form(&file, &[("expression", "the red star")]);
        let runs: [&dyn Fn(); 4] = [
            &|| drop(client.send("POST", "/v1/segment", &[&kind], &body).ok()),
            &|| ask(&id, &["the green ring".into()]),
            &|| ask(&id, &sixteen),
            &|| sixteen.iter().for_each(|one| ask(&id, std::slice::from_ref(one))),
        ];
        for (times, run) in times.iter_mut().zip(runs) {
            let start = Instant::now();
            run();
            times.push(start.elapsed().as_secs_f64());
        }
    }
    let [first, second, together, apart] = times.map(|mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    println!(
        "encode and ask {:.1} ms, then {:.1} ms: {:.2}",
        first * 1e3,
        second * 1e3,
        second / first
    );
    println!(
        "16 in one call {:.1} ms, in 16 calls {:.1} ms: {:.2} x",
        together * 1e3,
        apart * 1e3,
        apart / together
    );
    assert!(second < first / 3.0, "the second expression takes {:.2} of the first", second / first);
    assert!(apart > together, "16 in one call gain nothing");
}
