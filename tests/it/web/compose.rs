//! A scene that the user composes, by keyboard and by pointer.

use base64::prelude::{BASE64_STANDARD, Engine};
use mllmseg::scenes::{Placed, World, compose};
use serde_json::{Value, json};

use super::Site;

/// Presses a key.
fn press(site: &mut Site, key: &str) {
    for kind in ["keyDown", "keyUp"] {
        site.page.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "code": key }));
    }
}

/// Presses the pointer at a place, moves it, and lets it go.
fn drag(site: &mut Site, from: [f64; 2], to: [f64; 2]) {
    for (kind, [x, y]) in [("mousePressed", from), ("mouseMoved", to), ("mouseReleased", to)] {
        let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1 });
        site.page.call("Input.dispatchMouseEvent", event);
    }
}

/// The shapes by their names and places.
fn shapes(site: &mut Site) -> Vec<String> {
    let labels = site
        .page
        .evaluate("[...document.querySelectorAll('#board button')].map((b) => b.ariaLabel)");
    labels.as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_string()).collect()
}

fn add(site: &mut Site, shape: &str, colour: &str, size: &str) {
    for (label, word) in [("Shape", shape), ("Colour", colour), ("Size", size)] {
        site.page.evaluate(&format!(
            "document.querySelector('select[aria-label={label}]').value = {word:?}"
        ));
    }
    site.page.evaluate("[...document.querySelectorAll('dialog button')].find((b) => b.textContent === 'Add').click()");
}

#[test]
#[ignore = "needs `cargo xtask web`; `cargo xtask ci` runs both"]
fn a_composed_scene_is_drawn_as_those_of_the_training_and_segmented() {
    let Some(mut site) = Site::open("") else { return };
    site.page.wait_for("document.getElementById('model')?.innerText.includes('tiny') === true");
    site.page.evaluate("document.querySelector('#empty [data-needs=compose]').click()");
    site.page.wait_for("document.querySelector('#board img')?.src.startsWith('blob:') === true");
    // The first free place of 3 x 3 is the corner; the next are the ones farthest from all.
    add(&mut site, "star", "red", "large");
    for (colour, size) in [("blue", "small"), ("yellow", "small"), ("green", "large")] {
        add(&mut site, "circle", colour, size);
    }
    press(&mut site, "Delete");
    assert_eq!(shapes(&mut site).len(), 3);
    site.page.evaluate("document.querySelector('#board button').focus()");
    let place = |shapes: &[String]| shapes[0].split(" at ").nth(1).unwrap().to_string();
    let before = place(&shapes(&mut site));
    press(&mut site, "ArrowRight");
    press(&mut site, "ArrowDown");
    let after = place(&shapes(&mut site));
    let numbers =
        |text: &str| text.split(", ").map(|n| n.parse::<f64>().unwrap()).collect::<Vec<_>>();
    let ([x, y], [right, below]) =
        (numbers(&before)[..].try_into().unwrap(), numbers(&after)[..].try_into().unwrap());
    let (x, y, right, below): (f64, f64, f64, f64) = (x, y, right, below);
    assert_eq!((right, below), (x + 5.0, y + 5.0), "{before} to {after}");
    // By the pointer, to the middle of the image of 160 x 160.
    let middle = site.page.evaluate(
        "(() => { const r = document.querySelector('#board').getBoundingClientRect(); \
         const b = document.querySelector('#board button').getBoundingClientRect(); \
         return [b.x + b.width / 2, b.y + b.height / 2, r.x + r.width / 2, r.y + r.height / 2]; })()",
    );
    let at = |index: usize| middle[index].as_f64().unwrap();
    drag(&mut site, [at(0), at(1)], [at(2), at(3)]);
    let placed = shapes(&mut site);
    assert_eq!(placed[0], "large red star at 80, 80");
    site.screenshots("compose");

    site.page.evaluate("[...document.querySelectorAll('dialog button')].find((b) => b.textContent.startsWith('Ask')).click()");
    site.ask("the red star", 1);
    let label = site.page.evaluate("document.getElementById('answers').innerText");
    assert!(label.as_str().unwrap().contains("score"), "{label}");
    same_picture_and_mask(&mut site);
    site.assert_quiet();
}

/// The back end's picture is the generator's, and the model finds the star where it was placed.
fn same_picture_and_mask(site: &mut Site) {
    let objects = json!([
        { "shape": "star", "colour": "red", "size": "large", "centre": [80, 80], "number": 0 },
        { "shape": "ring", "colour": "white", "size": "small", "centre": [30, 120], "number": 9 },
    ]);
    let png = "compose(OBJECTS).then((blob) => blob.arrayBuffer()).then((bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))))";
    let found = site.backend(&png.replace("OBJECTS", &objects.to_string()));
    let found = BASE64_STANDARD.decode(found.as_str().unwrap()).unwrap();
    let found = image::load_from_memory(&found).unwrap().into_rgb8();
    let placed: Vec<Placed> = serde_json::from_value(objects.clone()).unwrap();
    let scene = compose(&World::small(), [160, 160], 0, &placed).unwrap();
    assert!(found == scene.draw());

    let asked = "compose(OBJECTS).then((blob) => backend.open(blob)).then(({ image_id }) => backend.ask(image_id, ['the red star', 'the white ring', 'the blue star'], () => {}))";
    let answer: Value = site.backend(&asked.replace("OBJECTS", &objects.to_string()));
    for (index, target) in [Some(0), Some(1), None].into_iter().enumerate() {
        let result = &answer["results"][index];
        assert_eq!(result["rejected"], json!(target.is_none()), "{result}");
        let Some(target) = target else { continue };
        let expected = scene.mask(&[target]).bounding_box().unwrap();
        let found: Vec<f64> =
            result["box"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let near = found.iter().zip(expected).all(|(a, b)| (a - f64::from(b)).abs() < 6.0);
        assert!(near, "{found:?} is not {expected:?}");
    }
}
