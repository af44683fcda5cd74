//! Masks, a second visit without a network, a new scene.

use std::path::Path;

use mllmseg::data::image::read_image;
use mllmseg::{Segmenter, device, tiny};

use super::Site;
use crate::support::root;

/// Those of the README, the last of which is not in the picture.
pub const EXPRESSIONS: [&str; 5] = [
    "all the yellow triangles",
    "the green ring",
    "the red star",
    "the small star",
    "the blue circle",
];
/// Between the browser and this machine, of probabilities of the same weights.
const TOLERANCE: f32 = 1e-3;

#[test]
#[ignore = "needs `cargo xtask web`; `cargo xtask ci` runs both"]
fn the_page_computes_as_this_machine_does_and_opens_offline() {
    let Some(mut site) = Site::open("") else { return };
    ask_everything(&mut site);
    compare(&mut site, &root().join(xtask::web::DIST).join("model"));
    assert!(site.backend("gpu").is_null());
    assert_eq!(site.page.evaluate("document.getElementById('devices').hidden"), true);
    site.page.evaluate("document.getElementById('maps').click()");
    site.page.wait_for("document.querySelectorAll('#layers li').length === 3");
    site.page.evaluate("document.querySelector('#layers button').click()");
    site.screenshots("page");

    site.reload_offline();
    ask_everything(&mut site);
    site.page.evaluate("document.getElementById('another').click()");
    site.page.wait_for("document.querySelectorAll('#answers li').length === 0");
    site.wait_for_turn();
    site.assert_quiet();
}

/// Takes the example and types the expressions.
fn ask_everything(site: &mut Site) {
    site.take_example();
    expect_answers(site);
}

/// Types the expressions for the picture that is there, and prints the times.
pub fn expect_answers(site: &mut Site) {
    for (index, expression) in EXPRESSIONS.iter().enumerate() {
        site.wait_for_turn();
        let status = site.page.evaluate("document.getElementById('status').innerText");
        eprintln!("{status}");
        site.ask(expression, index + 1);
    }
    let answers = site.page.evaluate("document.getElementById('answers').innerText");
    assert_eq!(answers.as_str().unwrap().matches("not in the picture").count(), 1, "{answers}");
}

/// The probabilities in the page and those of this machine, by the weights of the page and by those that
/// travel with the program.
pub fn compare(site: &mut Site, model: &Path) {
    let image = read_image(root().join("examples/scene.png")).unwrap();
    let probabilities = |folder: &Path| {
        let segmenter = Segmenter::load(folder, &device::cpu()).unwrap();
        let found = segmenter.encode(&image).unwrap().segment_all(&EXPRESSIONS).unwrap();
        found.into_iter().map(|found| found.probabilities).collect::<Vec<_>>()
    };
    let (same, full) = (probabilities(model), probabilities(&tiny::folder().unwrap()));
    for (index, expression) in EXPRESSIONS.iter().enumerate() {
        let call = format!("probabilities({expression:?}).then((found) => [...found])");
        let found = site.backend(&call);
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
