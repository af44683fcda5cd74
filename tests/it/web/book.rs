//! The model inside the chapters of the book.

use std::fs;

use mllmseg::data::image::read_image;
use mllmseg::{Alteration, FusionMap, Segmenter, device};
use serde_json::json;

use super::Site;
use crate::support::root;

/// A chapter, its expression, and changes with what they do to the weights.
type Case = (&'static str, &'static str, &'static [(&'static str, Alteration)]);

const fn without(map: FusionMap) -> Alteration {
    Alteration { offsets: 1.0, without: Some(map) }
}

const fn offsets(offsets: f32) -> Alteration {
    Alteration { offsets, without: None }
}

const CASES: [Case; 4] = [
    ("dysample", "the small star", &[("0", offsets(0.0)), ("4", offsets(4.0))]),
    (
        "dsff",
        "the green ring",
        &[
            ("T_vl", without(FusionMap::Tvl)),
            ("T_img4", without(FusionMap::Timg4)),
            ("T_img1", without(FusionMap::Timg1)),
        ],
    ),
    ("t-seg", "the star above the ring", &[]),
    ("reject", "the purple ring", &[]),
];

/// How far the browser's mask may be from this machine's, in pixels.
const PIXELS: f64 = 3.0;

#[test]
#[ignore = "needs `cargo xtask web`; `cargo xtask ci` runs both"]
fn the_model_answers_in_the_chapters_as_on_this_machine() {
    let Some(mut site) = Site::open("") else { return };
    if !root().join(xtask::web::DIST).join("book").exists() {
        eprintln!("skipped: no mdbook was there when the page was made");
        return;
    }
    let model =
        Segmenter::load(root().join(xtask::web::DIST).join("model"), &device::cpu()).unwrap();
    let image = read_image(root().join("examples/scene.png")).unwrap();
    let answer = |model: &Segmenter, expression: &str| {
        let mut found = model.encode(&image).unwrap().segment_all(&[expression]).unwrap();
        found.remove(0)
    };
    site.page.wait_for("document.querySelector('[data-needs=book]')?.hidden === false");
    site.page.evaluate("document.querySelector('[data-needs=book] a').click()");
    site.page.wait_for("document.querySelector('.chapter') !== null");
    for (chapter, expression, changes) in CASES {
        site.go(&format!("book/{chapter}.html"));
        let start = "document.querySelector('.live > button')";
        site.page.wait_for(&format!("location.pathname.includes({chapter:?}) && {start} !== null"));
        site.page.evaluate(&format!("{start}.click()"));
        let learned = answer(&model, expression);
        let says = "document.querySelector('.live [role=status]')?.innerText";
        site.page
            .wait_for(&format!("{says}?.startsWith({:?}) === true", format!("{expression}: ")));
        let said = site.page.evaluate(says);
        eprintln!("{chapter}: {said}");
        match learned.rejected {
            true => assert_eq!(said, format!("{expression}: not in the picture")),
            false => assert_near(area(said.as_str().unwrap()), learned.mask.area() as f64),
        }
        for (value, alteration) in changes {
            site.page.evaluate(&format!(
                "(() => {{ const s = document.querySelector('.live select'); s.value = {value:?}; s.dispatchEvent(new Event('change')); \
                 document.querySelector('.live [role=status]').textContent = ''; }})()"
            ));
            site.page.wait_for(&format!("{says}?.includes('as learned') === true"));
            let said = site.page.evaluate(says);
            eprintln!("{chapter}, {value}: {said}");
            let said = said.as_str().unwrap();
            let changed = answer(&model.altered(*alteration), expression);
            assert_eq!(said.contains("not in the picture;"), changed.rejected, "{said}");
            assert_near(area(said), changed.mask.area() as f64);
            let iou = said.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
            assert!(
                (iou - changed.mask.overlap(&learned.mask).unwrap().iou()).abs() < 0.01,
                "{said}"
            );
        }
        let maps = site
            .page
            .evaluate("[...document.querySelectorAll('.live figcaption')].map((f) => f.innerText)");
        assert_eq!(maps, json!(["T_img4", "T_ds0"]));
        site.page.evaluate("document.querySelector('.live').scrollIntoView({ block: 'center' })");
        site.screenshots(&format!("book-{chapter}"));
    }
    let chapters = fs::read_dir(root().join("docs/book/src")).unwrap();
    let live = chapters.filter(|file| {
        fs::read_to_string(file.as_ref().unwrap().path())
            .is_ok_and(|text| text.contains("class=\"live\""))
    });
    assert_eq!(live.count(), CASES.len(), "each chapter with the model inside is tested");
    site.assert_quiet();
}

/// The number before "pixels".
fn area(said: &str) -> f64 {
    let before = said.split(" pixels").next().unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{said}"))
}

fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= PIXELS, "{found} pixels, not {expected}");
}
