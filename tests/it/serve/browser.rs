//! The page in a real browser: the example, three questions, three masks.

use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::json;

use super::{Server, expected, scene};
use crate::chromium::{Chromium, find};

const FOUND: [&str; 3] = ["the red star", "all the yellow triangles", "the green ring"];

/// `MLLMSEG_SCREENSHOTS=docs/book/src/pictures/serve` keeps the two pictures that the book shows.
#[test]
fn the_page_shows_the_masks_that_segment_gives() {
    let Some(program) = find() else {
        eprintln!("skipped: no Chromium in /usr/bin");
        return;
    };
    let server = Server::start(&[]);
    let downloads = tempfile::tempdir().unwrap();
    let mut page = Chromium::start(program, downloads.path(), "--disable-gpu");
    let address = format!("http://{}/", server.client.address);
    page.call(
        "Emulation.setDeviceMetricsOverride",
        json!({ "width": 1180, "height": 900, "deviceScaleFactor": 1, "mobile": false }),
    );
    page.call("Page.navigate", json!({ "url": address }));
    page.wait_for("document.getElementById('notice')?.innerText.includes('tiny model') === true");
    page.evaluate("document.getElementById('example').click()");
    for (index, expression) in FOUND.iter().chain(&["the blue circle"]).enumerate() {
        page.wait_for(
            "document.activeElement.id === 'words' && !document.getElementById('ask').disabled",
        );
        page.type_and_enter(expression);
        page.wait_for(&format!(
            "document.querySelectorAll('#answers li').length === {}",
            index + 1
        ));
    }
    let answers = page.evaluate("document.getElementById('answers').innerText");
    assert!(answers.as_str().unwrap().contains("not in the picture"), "{answers}");

    // The masks as a user saves them.
    let expected = expected(&FOUND);
    let masks =
        "[...document.querySelectorAll('#answers button')].filter((b) => b.textContent === 'Mask')";
    assert_eq!(page.evaluate(&format!("{masks}.length")), 3);
    for (index, expected) in expected.iter().enumerate() {
        page.evaluate(&format!("{masks}[{index}].click()"));
        let name = format!("{}.mask.png", expected.expression.replace(' ', "_"));
        let file = downloads.path().join(name);
        let start = Instant::now();
        let saved = loop {
            if let Ok(image) = image::open(&file) {
                break image.into_luma8();
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{} is not saved", file.display());
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(saved.dimensions(), (168, 168));
        assert!(saved.into_raw() == expected.mask.to_bytes(255), "{}", expected.expression);
    }

    // The canvas: each pixel four times as large; objects as they are, the rest dimmed. Outlines and
    // words cover some of both.
    let drawn = page.evaluate("document.getElementById('canvas').toDataURL('image/png')");
    let drawn = drawn.as_str().unwrap().split(',').nth(1).unwrap();
    let drawn =
        image::load_from_memory(&BASE64_STANDARD.decode(drawn).unwrap()).unwrap().into_rgb8();
    assert_eq!(drawn.dimensions(), (672, 672));
    let (mut kept, mut inside, mut dimmed, mut outside) = (0, 0, 0, 0);
    for (x, y, pixel) in scene().enumerate_pixels() {
        let shown = drawn.get_pixel(4 * x + 2, 4 * y + 2).0;
        let close =
            |factor: f32| {
                pixel.0.iter().zip(shown).all(|(&level, shown)| {
                    (f32::from(level) * factor - f32::from(shown)).abs() <= 2.0
                })
            };
        match expected.iter().any(|one| one.mask.get(y as usize, x as usize) == Some(true)) {
            true => (inside, kept) = (inside + 1, kept + usize::from(close(1.0))),
            false => (outside, dimmed) = (outside + 1, dimmed + usize::from(close(0.4))),
        }
    }
    assert!(kept * 10 > inside * 9, "{kept} of {inside} pixels inside are as they were");
    assert!(dimmed * 10 > outside * 8, "{dimmed} of {outside} pixels outside are dimmed");

    // Light and dark, maps, a phone's width.
    for scheme in ["light", "dark"] {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        page.call("Emulation.setEmulatedMedia", json!({ "features": features }));
        if let Some(folder) = std::env::var_os("MLLMSEG_SCREENSHOTS") {
            let shot = page.call("Page.captureScreenshot", json!({ "format": "png" }));
            let shot = BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
            let file = std::path::Path::new(&folder).join(format!("{scheme}.png"));
            std::fs::write(file, shot).unwrap();
        }
    }
    page.evaluate("document.getElementById('maps').click()");
    page.wait_for("document.querySelectorAll('#layers li').length === 3");
    page.call(
        "Emulation.setDeviceMetricsOverride",
        json!({ "width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": true }),
    );
    assert_eq!(page.evaluate("document.documentElement.scrollWidth <= 360"), true);

    // A picture that has gone from the server is sent again.
    let id = page.evaluate(
        "fetch('/v1/images', { method: 'POST', headers: { 'Content-Type': 'image/png' }, \
        body: 'x' }).then((r) => r.status)",
    );
    assert_eq!(id, 422);
    let id = server.client.add(&super::scene_file());
    assert_eq!(server.client.send("DELETE", &format!("/v1/images/{id}"), &[], b"").status, 204);
    page.evaluate("document.getElementById('words').focus()");
    page.type_and_enter("the small star");
    page.wait_for("document.querySelectorAll('#answers li').length === 5");

    // Pasted and dropped pictures begin anew.
    for event in [
        "ClipboardEvent('paste', { clipboardData: files })",
        "DragEvent('drop', { dataTransfer: files })",
    ] {
        page.evaluate(&format!(
            "fetch('/page/example.png').then((r) => r.blob()).then((blob) => {{ \
             const files = new DataTransfer(); \
             files.items.add(new File([blob], 'x.png', {{ type: 'image/png' }})); \
             document.dispatchEvent(new {event}); }})"
        ));
        page.wait_for("document.querySelectorAll('#answers li').length === 0");
        page.wait_for("document.activeElement.id === 'words'");
        page.type_and_enter("the red star");
        page.wait_for("document.querySelectorAll('#answers li').length === 1");
    }

    // Nothing was asked of anyone else, and no script failed.
    for event in &page.events {
        let url = event["params"]["request"]["url"].as_str().unwrap_or(&address);
        assert!([&address, "blob:", "data:"].iter().any(|own| url.starts_with(own)), "{url}");
        let method = event["method"].as_str().unwrap_or_default();
        assert!(method != "Runtime.exceptionThrown", "{event}");
        let text = event["params"]["entry"]["text"].as_str().unwrap_or_default();
        assert!(!text.contains("Content Security Policy"), "{event}");
    }
}
