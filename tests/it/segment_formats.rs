//! `segment --format`: every format draws the same masks.

use std::fs;
use std::path::Path;

use mllmseg::data::image::read_image;
use mllmseg::data::mask::polygon::rasterize;
use mllmseg::data::mask::{Bitmap, Segmentation};
use mllmseg::{Segmenter, device, tiny};
use serde_json::Value;

use super::support::*;

const EXPRESSIONS: [&str; 3] = ["the red star", "all the yellow triangles", "the blue circle"];

fn segment(out: &Path, arguments: &[&str]) {
    let mut command = mllmseg(["segment", "--device", "cpu", "--out"]);
    command.arg(out).arg(root().join("examples/scene.png")).args(EXPRESSIONS).args(arguments);
    printed(&mut command);
}

fn masks() -> Vec<Bitmap> {
    let segmenter = Segmenter::load(tiny::folder().unwrap(), &device::cpu()).unwrap();
    let image = read_image(root().join("examples/scene.png")).unwrap();
    let found = segmenter.encode(&image).unwrap().segment_all(&EXPRESSIONS).unwrap();
    found.into_iter().map(|prediction| prediction.mask).collect()
}

#[test]
fn every_format_draws_the_masks() {
    let masks = masks();
    let folder = scratch();
    let out = folder.path();
    segment(out, &["--format", "coco"]);
    let coco = read_json(&out.join("annotations.json"));
    assert_eq!(coco["images"][0]["file_name"], "scene.png");
    let names: Vec<_> = coco["categories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, EXPRESSIONS);
    let annotations = coco["annotations"].as_array().unwrap();
    assert_eq!(annotations.len(), 2, "nothing for what is not in the picture");
    for (annotation, mask) in annotations.iter().zip(&masks) {
        let polygons: Segmentation =
            serde_json::from_value(annotation["segmentation"].clone()).unwrap();
        assert_eq!(&polygons.to_bitmap(168, 168).unwrap(), mask);
        assert_eq!(annotation["area"], mask.area());
    }

    segment(out, &["--format", "yolo"]);
    assert_eq!(
        fs::read_to_string(out.join("classes.txt")).unwrap().lines().collect::<Vec<_>>(),
        EXPRESSIONS
    );
    let labels = fs::read_to_string(out.join("scene.txt")).unwrap();
    for (line, mask) in labels.lines().zip(&masks) {
        let points: Vec<f64> =
            line.split(' ').skip(1).map(|share| share.parse::<f64>().unwrap() * 168.0).collect();
        let points: Vec<f64> = points.iter().map(|place| place.round()).collect();
        assert_eq!(&rasterize(168, 168, &[points]).unwrap(), mask);
    }
    assert_eq!(labels.lines().count(), 2);

    segment(out, &["--format", "polygon", "--tolerance", "1"]);
    let polygons = read_json(&out.join("scene_polygons.json"));
    let corners = |value: &Value| value["polygons"][0]["outer"].as_array().unwrap().len();
    let simple = corners(&polygons["masks"][0]);
    segment(out, &["--format", "polygon"]);
    let exact = corners(&read_json(&out.join("scene_polygons.json"))["masks"][0]);
    assert!(2 * simple < exact, "{simple} of {exact} corners");

    segment(out, &["--format", "svg"]);
    let svg = fs::read_to_string(out.join("scene_masks.svg")).unwrap();
    assert_says(
        &svg,
        &["viewBox=\"0 0 168 168\"", "fill-rule=\"evenodd\"", "<title>the red star</title>"],
    );
    assert_eq!(svg.matches("<path").count(), 3);
}

/// The README's first command writes the README's picture.
#[test]
fn the_readmes_overlay_is_what_its_command_writes() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let command =
        readme.lines().find(|line| line.contains("-- segment examples/scene.png")).unwrap();
    let expressions = command.split('"').skip(1).step_by(2);
    let out = scratch();
    let mut command = mllmseg(["segment", "--device", "cpu", "--out"]);
    command.arg(out.path()).arg(root().join("examples/scene.png")).args(expressions);
    printed(&mut command);
    let open = |path: &Path| image::open(path).unwrap().into_rgb8();
    let made = open(&out.path().join("scene_overlay.png"));
    let shown =
        open(&root().join("docs/book/src/pictures/first-mask/mllmseg-out/scene_overlay.png"));
    assert_eq!(made.dimensions(), shown.dimensions());
    // Another processor may turn a pixel at the edge of a mask.
    let differ = made.pixels().zip(shown.pixels()).filter(|(a, b)| a != b).count();
    assert!(differ * 1000 < shown.pixels().count(), "{differ} pixels differ");
}
