//! Own data: every kind of mask, and a clear error for everything that can be wrong.
//! `tests/oracle/own_masks.py` wrote the PNGs and the pixels that Pillow reads from them.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, RgbImage};
use mllmseg_data::image::{Orientation, read_image_with, read_mask};
use mllmseg_data::mask::Bitmap;
use mllmseg_data::refer::*;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// Rows and columns of the images here.
const HEIGHT: u32 = 3;
const WIDTH: u32 = 4;
/// A 2 x 2 square in the corner, row by row.
const SQUARE: [u8; 12] = [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0];

/// A folder with `photos/a.png`, `photos/b.jpg` and `masks/square.png`.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in ["photos", "masks"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in ["photos/a.png", "photos/b.jpg"] {
        RgbImage::new(WIDTH, HEIGHT).save(folder.path().join(name)).unwrap();
    }
    square().save(folder.path().join("masks/square.png")).unwrap();
    folder
}

fn square() -> GrayImage {
    let inside = |x, y| Luma([SQUARE[(y * WIDTH + x) as usize]]);
    GrayImage::from_fn(WIDTH, HEIGHT, inside)
}

fn write(folder: &Path, split: &str, lines: &[Json]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(folder.join(format!("{split}.jsonl")), text).unwrap();
}

fn line(mask: Json) -> Json {
    json!({"image": "photos/a.png", "expression": "the square", "mask": mask})
}

fn open(folder: &Path) -> Result<ReferDataset, ReferError> {
    ReferDataset::open(folder, Dataset::Own, None)
}

fn opened(folder: &Path, split: &str, lines: &[Json]) -> ReferDataset {
    write(folder, split, lines);
    open(folder).unwrap()
}

/// The mask of every expression of a split.
fn masks(data: &ReferDataset, split: Split) -> Vec<Option<Bitmap>> {
    let items = data.items(split).unwrap();
    let of_item = |item: &ReferItem| -> Vec<Option<Bitmap>> {
        item.expressions.iter().map(|asked| data.mask(item.image, asked.targets).unwrap()).collect()
    };
    items.iter().flat_map(of_item).collect()
}

#[test]
fn every_kind_of_mask_is_the_same_mask() {
    let folder = folder();
    // `02106` is what pycocotools writes for these runs.
    let kinds = [
        json!("masks/square.png"),
        json!([0, 0, 2.0, 0, 2, 2, 0, 2]),
        json!([[0, 0, 2, 0, 2, 2, 0, 2]]),
        json!([[0, 0, 2, 0, 2, 1, 0, 1], [0, 1, 2, 1, 2, 2, 0, 2], [3, 3]]),
        json!({"size": [3, 4], "counts": "02106"}),
        json!({"size": [3, 4], "counts": [0, 2, 1, 2, 7]}),
        json!([{"size": [3, 4], "counts": [0, 2, 10]}, {"size": [3, 4], "counts": [3, 2, 7]}]),
    ];
    let lines: Vec<Json> = kinds.iter().cloned().map(line).collect();
    let data = opened(folder.path(), "val", &lines);
    let masks = masks(&data, Split::Val);
    assert_eq!(masks.len(), kinds.len());
    for (mask, kind) in masks.iter().zip(&kinds) {
        assert_eq!(mask.as_ref().unwrap().to_bytes(1), SQUARE, "{kind}");
    }
    let items = data.items(Split::Val).unwrap();
    let targets = items[0].expressions[0].targets;
    let found = data.annotated_box(targets, masks[0].as_ref()).unwrap();
    assert_eq!(found, Some([0.0, 0.0, 2.0, 2.0]));
    assert!(!data.generalized(Split::Val));
}

#[test]
fn every_kind_of_png_has_the_pixels_that_pillow_shows() {
    #[derive(serde::Deserialize)]
    struct Fixture {
        size: (u32, u32),
        cases: Vec<Case>,
        bomb: String,
    }
    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        file: String,
        mask: String,
    }
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digits).collect()
    };
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/own_masks.json")).unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mask.png");
    let (width, height) = fixture.size;
    assert_eq!(fixture.cases.len(), 16);
    for case in &fixture.cases {
        let file = bytes(&case.file);
        fs::write(&path, &file).unwrap();
        let mask = read_mask(&path, width, height).unwrap();
        let found: String =
            mask.pixels().iter().map(|&pixel| if pixel { '1' } else { '0' }).collect();
        assert_eq!(found, case.mask, "{}", case.name);
        let error = read_mask(&path, height, width).unwrap_err().to_string();
        assert!(error.contains("expected a mask of 7x11 like its image, found 11x7"), "{error}");
        for cut in [8, 20, file.len() / 2] {
            fs::write(&path, &file[..cut]).unwrap();
            assert!(read_mask(&path, width, height).is_err(), "{} cut to {cut}", case.name);
        }
    }
    // 100 million pixels that are not there: neither a panic nor an image.
    fs::write(&path, bytes(&fixture.bomb)).unwrap();
    assert!(read_mask(&path, 20000, 5000).is_err());
}

#[test]
fn lines_become_items_and_splits_are_files() {
    let folder = folder();
    let of = |image: &str, expression: &str, mask: Json| json!({"image": image, "expression": expression, "mask": mask, "source": ["a", {"b": 1}]});
    let square = json!([0, 0, 2, 0, 2, 2, 0, 2]);
    let train = [
        of("photos/b.jpg", "  The  RED\tCup. ", square.clone()),
        of("photos/a.png", "it's 3.5 m", square.clone()),
        of("photos/b.jpg", "die Große Straße", Json::Null),
    ];
    write(folder.path(), "train", &train);
    // A byte order mark, CRLF, blank lines, and no end of the last line.
    let text = format!("\u{feff}{}\r\n\r\n  \n{}", train[1], train[2]);
    fs::write(folder.path().join("testA.jsonl"), text).unwrap();
    write(folder.path(), "test", &train[..1]);
    let data = open(folder.path()).unwrap();
    assert_eq!(data.split_counts(), [("test", 1), ("testA", 2), ("train", 3)].into());

    let items = data.items(Split::Train).unwrap();
    let texts = |item: &ReferItem<'_>| -> Vec<String> {
        item.expressions.iter().map(|asked| asked.text.to_owned()).collect()
    };
    assert_eq!(items.len(), 2);
    assert_eq!(texts(&items[0]), ["the red cup", "die große straße"]);
    assert_eq!(texts(&items[1]), ["it's 3.5 m"]);
    assert_eq!(&*data.all_refs()[0].sentences[0].raw, "  The  RED\tCup. ");
    let image = items[0].image;
    assert_eq!((&*image.file_name, image.width, image.height), ("photos/b.jpg", WIDTH, HEIGHT));
    assert_eq!(data.image_path(image).unwrap(), folder.path().join("photos/b.jpg"));
    assert!(items[0].expressions[1].no_target() && !items[0].expressions[0].no_target());
    assert_eq!(data.mask(image, items[0].expressions[1].targets).unwrap(), None);
    assert!(data.generalized(Split::Train) && !data.generalized(Split::Test));

    // `test` is test.jsonl alone; identifiers are split and line, whatever else is there.
    let ids = |data: &ReferDataset, split| -> Vec<(i64, i64, i64)> {
        let ids =
            |entry: &RefExpressions| (entry.ref_id, entry.sentences[0].sent_id, entry.image_id);
        data.refs(split).map(ids).collect()
    };
    assert_eq!(ids(&data, Split::Train), [(1, 1, 1), (2, 2, 2), (3, 3, 1)]);
    assert_eq!(ids(&data, Split::Test), [(2_000_000_001, 2_000_000_001, 2_000_000_001)]);
    let test_a = [3_000_000_001, 3_000_000_004].map(|id| (id, id, id));
    assert_eq!(ids(&data, Split::TestA), test_a);
    let only = OpenOptions { only: Some(Split::TestA), ..OpenOptions::default() };
    fs::write(folder.path().join("train.jsonl"), "damaged").unwrap();
    let alone = ReferDataset::open_with(folder.path(), Dataset::Own, only).unwrap();
    assert_eq!(ids(&alone, Split::TestA), test_a);
    let error = alone.items(Split::Val).unwrap_err().to_string();
    assert!(error.contains("split `val`: own has no expressions in it"), "{error}");
}

/// What is wrong with a line is said with the file and the line's number.
#[test]
fn bad_lines_are_named() {
    let folder = folder();
    GrayImage::new(WIDTH, HEIGHT + 1).save(folder.path().join("masks/tall.png")).unwrap();
    RgbImage::new(WIDTH, HEIGHT).save(folder.path().join("masks/photo.jpg")).unwrap();
    fs::write(folder.path().join("masks/notes.png"), "notes").unwrap();
    fs::write(folder.path().join("photos/notes.jpg"), "notes").unwrap();
    fs::create_dir(folder.path().join("masks/folder.png")).unwrap();
    let with = |key: &str, value: Json| {
        let mut line = line(Json::Null);
        line[key] = value;
        line.to_string()
    };
    let mask = |mask: &str| line(json!("MASK")).to_string().replace("\"MASK\"", mask);
    let cases = [
        ("{\"image\": ".to_owned(), "EOF while parsing a value (column 9)"),
        ("[1, 2]".into(), "expected"),
        ("null".into(), "invalid type: null"),
        (with("image", json!("photos/notes.jpg")), "notes.jpg: expected a JPEG, PNG"),
        (with("image", json!(7)), "invalid type: integer `7`, expected a string"),
        (with("expression", json!(" . ")), "`expression` has no words"),
        (with("expression", json!(["a", "b"])), "expected a string"),
        (with("expression", json!("the [SEG] one")), "`[SEG]`, which is reserved"),
        (
            with("expression", json!("x".repeat(1001))),
            "at most 1000 characters expected, found 1001",
        ),
        (json!({"image": "photos/a.png", "expression": "x"}).to_string(), "missing field `mask`"),
        (json!({"image": "photos/a.png", "expression": "x", "masks": 1}).to_string(), "`mask`"),
        (json!({"expression": "x", "mask": null}).to_string(), "missing field `image`"),
        (mask("true"), "expected `mask` as the path of a PNG"),
        (mask("\"masks/none.png\""), "masks/none.png: cannot be read"),
        (mask("\"masks/folder.png\""), "folder.png: cannot be read (no regular file)"),
        (mask("\"masks/notes.png\""), "masks/notes.png: expected a"),
        (mask("\"masks/tall.png\""), "`mask` is 4x4, but its image photos/a.png is 4x3"),
        (mask("[]"), "`mask` encloses nothing"),
        (mask("[0, 0, 2, 2]"), "`mask` encloses nothing"),
        (mask("[[0, 0, 2, 2], []]"), "`mask` encloses nothing"),
        (mask("[0, 0, 2, 2, 4]"), "even number of coordinates (x0, y0, x1, y1, ...), found 5"),
        (mask("[0, 0, 2, 2, 4, [1, 2]]"), "several of them in one list"),
        (mask("[0, 0, 2, 2, 4, \"1\"]"), "expected in a segmentation's list: a polygon"),
        (mask("[0, 0, 2, 2, 4, 1e9]"), "expected coordinate 5 within +-1000000, found 1000000000"),
        (mask("[0, 0, 2, 2, 4, 1e999]"), "out of range"),
        (
            mask("[[0, 0, 2, 0, 2, 2], {\"size\": [3, 4], \"counts\": [12]}]"),
            "several of them in one list",
        ),
        (mask("{\"size\": [4, 3], \"counts\": [12]}"), "`mask` is 3x4, but its image"),
        (
            mask("{\"size\": [3, 4], \"counts\": [5, 6]}"),
            "sum to 12 (3 x 4, height x width), found a sum of 11",
        ),
        (mask("{\"size\": [3, 4], \"counts\": \"11\"}"), "sum to 12"),
        (
            mask("{\"size\": [3, 4], \"counts\": \"é\"}"),
            "a character from '0' to 'o', found '\\xc3'",
        ),
        (mask("{\"size\": [4000000000, 4000000000], \"counts\": [1]}"), "1 to 250000000 pixels"),
        (mask("{\"size\": [4000000000, 4000000000], \"counts\": \"11\"}"), "1 to 250000000 pixels"),
        (
            mask("{\"size\": [100000, 100000], \"counts\": [4000000000, 4000000000, 2000000000]}"),
            "1 to 250000000 pixels",
        ),
        (mask("{\"size\": [3, 4]}"), "missing field `counts`"),
        (mask(&"[".repeat(100_000)), "invalid type: sequence"),
        (format!("{{\"more\": {}", "[".repeat(100_000)), "EOF while parsing a list"),
        (" ".repeat(17 << 20), "longer than 16 MiB"),
        (mask(&format!("\"{}\"", "x".repeat(17 << 20))), "longer than 16 MiB"),
    ];
    let path = folder.path().join("val.jsonl");
    for (bad, message) in cases {
        let good = line(Json::Null);
        fs::write(&path, format!("{good}\n\n{bad}\n{good}\n")).unwrap();
        let error = open(folder.path()).unwrap_err();
        let shown: String = bad.chars().take(90).collect();
        assert!(matches!(error, ReferError::Line { line: 3, .. }), "{shown}: {error}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("{}: line 3: ", path.display())), "{shown}: {text}");
        assert!(text.contains(message) && text.len() < 800, "{shown}: {text}");
    }
    fs::write(&path, b"{\"image\": \"\xff\"}").unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("val.jsonl: line 1: invalid unicode"), "{error}");
}

#[test]
fn paths_stay_in_the_folder() {
    let folder = folder();
    let bad =
        ["../a.png", "photos/../../a.png", "photos\\..\\..\\a.png", "", "a\u{0}.png", ".", "a\nb"];
    for name in bad {
        for key in ["image", "mask"] {
            let mut entry = line(json!("masks/square.png"));
            entry[key] = json!(name);
            write(folder.path(), "val", &[entry]);
            let error = open(folder.path()).unwrap_err().to_string();
            let found = format!("val.jsonl: line 1: `{key}` is `{}`", name.escape_debug());
            assert!(error.contains(&found), "{error}");
        }
    }
}

#[test]
fn missing_images_are_named_with_their_line_or_skipped() {
    let folder = folder();
    let mut gone = line(json!("masks/square.png"));
    gone["image"] = json!("photos/gone.jpg");
    let data = opened(folder.path(), "val", &[line(Json::Null), gone]);
    let mut items = data.items(Split::Val).unwrap();
    let path = folder.path().join("photos/gone.jpg");
    let named = format!(
        "no file {} ({}: line 2)",
        path.display(),
        folder.path().join("val.jsonl").display()
    );
    let image = items[1].image;
    let error = data.image_path(image).unwrap_err().to_string();
    assert!(error.contains(&named), "{error}");
    let error = data.mask(image, items[1].expressions[0].targets).unwrap_err();
    assert!(matches!(error, ReferError::MissingImage { .. }), "{error}");
    assert_eq!(data.skip_missing_images(&mut items), [path]);
    assert_eq!(items.len(), 1);
}

#[test]
fn a_mask_that_changed_since_is_named_with_its_line() {
    let folder = folder();
    let data = opened(folder.path(), "val", &[line(Json::Null), line(json!("masks/square.png"))]);
    let items = data.items(Split::Val).unwrap();
    let targets = items[0].expressions[1].targets;
    let mask = folder.path().join("masks/square.png");
    let error = || data.mask(items[0].image, targets).unwrap_err().to_string();
    let whole = fs::read(&mask).unwrap();
    fs::write(&mask, &whole[..whole.len() - 20]).unwrap();
    assert!(error().contains("val.jsonl: line 2: ") && error().contains("damaged"), "{}", error());
    GrayImage::new(9, 9).save(&mask).unwrap();
    assert!(error().contains("expected a mask of 4x3 like its image, found 9x9"), "{}", error());
    RgbImage::new(WIDTH, HEIGHT).save_with_format(&mask, image::ImageFormat::Bmp).unwrap();
    assert!(error().contains("expected a mask as a PNG, found BMP"), "{}", error());
    fs::remove_file(&mask).unwrap();
    assert!(error().contains("cannot be read"), "{}", error());
    // An empty mask is one, as in the published sets.
    GrayImage::new(WIDTH, HEIGHT).save(&mask).unwrap();
    let empty = data.mask(items[0].image, targets).unwrap();
    assert!(empty.as_ref().unwrap().is_empty());
    assert_eq!(data.annotated_box(targets, empty.as_ref()).unwrap(), None);
}

#[test]
fn a_folder_without_splits_says_what_is_there() {
    let folder = folder();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("expected train.jsonl, val.jsonl") && error.contains("found none"),
        "{error}"
    );
    let error = open(&folder.path().join("elsewhere")).unwrap_err();
    assert!(matches!(error, ReferError::File(_)), "{error}");
    fs::write(folder.path().join("validation.jsonl"), "").unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("found validation.jsonl"), "{error}");
    fs::write(folder.path().join("val.jsonl"), "\n").unwrap();
    let error = open(folder.path()).unwrap().items(Split::Val).unwrap_err().to_string();
    assert!(error.contains("no expressions"), "{error}");
    let error = ReferDataset::open(folder.path(), Dataset::Own, Some("unc")).unwrap_err();
    assert!(matches!(error, ReferError::NoSuch { .. }), "{error}");
    assert!(ReferDataset::open(folder.path(), Dataset::Own, Some("files")).is_ok());
    assert_eq!("own".parse::<Dataset>().unwrap(), Dataset::Own);
    let error = "mine".parse::<Dataset>().unwrap_err().to_string();
    assert!(error.contains("ref-zom, own"), "{error}");
}

/// A photograph taken with the camera on its side: masks are drawn on what people see.
#[test]
fn photographs_are_turned_upright() {
    let folder = folder();
    let case = |name: &str| {
        let cases: Json = serde_json::from_str(include_str!("fixtures/image/decode.json")).unwrap();
        let cases = cases["cases"].as_array().unwrap().clone();
        let case = cases.into_iter().find(|case| case["name"] == name).unwrap();
        let hex = case["file"].as_str().unwrap().to_owned();
        let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digits).collect::<Vec<u8>>()
    };
    let photo = folder.path().join("photos/a.png");
    fs::write(&photo, case("jpeg exif 6")).unwrap();
    let data = opened(folder.path(), "val", &[line(Json::Null)]);
    let image = data.items(Split::Val).unwrap()[0].image.clone();
    let upright = read_image_with(&photo, Dataset::Own.orientation()).unwrap();
    assert_eq!((image.width, image.height), upright.dimensions());
    let stored = read_image_with(&photo, Orientation::Stored).unwrap();
    assert_eq!((image.height, image.width), stored.dimensions());
}

/// Values 0 to 3 in grey and in a palette, in every depth: the number counts, not the colour.
#[test]
fn one_value_of_an_index_mask_is_picked() {
    use png::{BitDepth, ColorType};
    const VALUES: [u16; 12] = [2, 2, 0, 1, 2, 2, 0, 1, 0, 1, 3, 3];
    let folder = folder();
    let path = folder.path().join("masks/index.png");
    let encode = |colour: ColorType, depth: BitDepth, factor: u16| {
        let file = fs::File::create(&path).unwrap();
        let mut encoder = png::Encoder::new(file, WIDTH, HEIGHT);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == ColorType::Indexed {
            encoder.set_palette([9; 12].as_slice()); // all of one colour
        }
        let bits = depth as usize;
        let mut rows = Vec::new();
        for row in VALUES.chunks(WIDTH as usize) {
            let packed =
                row.iter().fold(0_u64, |all, value| all << bits | u64::from(value * factor));
            let length = (row.len() * bits).div_ceil(8);
            let packed = packed << (length * 8 - row.len() * bits);
            rows.extend_from_slice(&packed.to_be_bytes()[8 - length..]);
        }
        encoder.write_header().unwrap().write_image_data(&rows).unwrap();
    };
    let with_value = |value: Json| {
        let mut line = line(json!("masks/index.png"));
        line["mask_value"] = value;
        line
    };
    let cases = [
        (ColorType::Grayscale, BitDepth::Two, 1),
        (ColorType::Grayscale, BitDepth::Four, 1),
        (ColorType::Grayscale, BitDepth::Eight, 1),
        (ColorType::Grayscale, BitDepth::Sixteen, 20_000),
        (ColorType::Indexed, BitDepth::Two, 1),
        (ColorType::Indexed, BitDepth::Four, 1),
        (ColorType::Indexed, BitDepth::Eight, 1),
    ];
    for (colour, depth, factor) in cases {
        encode(colour, depth, factor);
        let data = opened(
            folder.path(),
            "val",
            &[with_value(json!(2 * factor)), line(json!("masks/index.png"))],
        );
        let found = masks(&data, Split::Val);
        assert_eq!(found[0].as_ref().unwrap().to_bytes(1), SQUARE, "{colour:?} {depth:?}");
        // Without a value, all but black counts.
        assert!(found[1].as_ref().unwrap().area() >= 9, "{colour:?} {depth:?}");
    }
    let data = opened(folder.path(), "val", &[with_value(json!(9))]);
    assert!(masks(&data, Split::Val)[0].as_ref().unwrap().is_empty());
    RgbImage::new(WIDTH, HEIGHT).save(&path).unwrap();
    let data = opened(folder.path(), "val", &[with_value(json!(1))]);
    let items = data.items(Split::Val).unwrap();
    let error = data.mask(items[0].image, items[0].expressions[0].targets).unwrap_err().to_string();
    assert!(error.contains("val.jsonl: line 1") && error.contains("`mask_value`"), "{error}");
    for (mask, value) in [
        (json!(null), json!(1)),
        (json!([0, 0, 2, 0, 2, 2]), json!(1)),
        (json!("masks/index.png"), json!(70_000)),
    ] {
        let mut line = line(mask);
        line["mask_value"] = value;
        write(folder.path(), "val", &[line]);
        assert!(open(folder.path()).is_err());
    }
}

#[test]
fn names_of_files_are_found_as_tools_write_them() {
    let folder = folder();
    for name in ["./photos/a.png", "photos\\a.png", "PHOTOS/A.png", "/home/me/project/photos/a.png"]
    {
        let mut entry = line(json!("masks/square.png"));
        entry["image"] = json!(name);
        let data = opened(folder.path(), "val", &[entry]);
        assert_eq!(&*data.items(Split::Val).unwrap()[0].image.file_name, "photos/a.png", "{name}");
        assert_eq!(data.leniencies().iter().count(), 1);
    }
    let text: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.path().join("val.jsonl"), text).unwrap();
    assert!(open(folder.path()).unwrap_err().to_string().contains("UTF-16"));
}

/// Images that are whole are remembered by size and time; changed ones are read again.
#[test]
fn checked_images_are_remembered() {
    let folder = folder();
    let mut other = line(json!("masks/square.png"));
    other["image"] = json!("photos/b.jpg");
    let data = opened(folder.path(), "val", &[line(json!(null)), other]);
    let images: Vec<&ImageInfo> = data.instances().images().iter().collect();
    let memory = folder.path().join("checked.json");
    let check = || {
        let mut checked = CheckedImages::open(&memory);
        let wrong = checked.check(&data, &images, &|_| {});
        checked.save().unwrap();
        wrong.into_iter().map(|(index, error)| (index, error.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(check(), []);
    let path = folder.path().join("photos/b.jpg");
    let (whole, time) =
        (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    // The same size and time: not read. Another time: read, and found to break off.
    let cut: Vec<u8> = whole[..whole.len() - 2].iter().copied().chain([0, 0]).collect();
    fs::write(&path, &cut).unwrap();
    let set_time =
        |time| fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    set_time(time);
    assert_eq!(check(), []);
    set_time(time + std::time::Duration::from_secs(1));
    let wrong = check();
    assert!(
        wrong.len() == 1 && wrong[0].0 == 1 && wrong[0].1.contains("ends before the image does"),
        "{wrong:?}"
    );
    fs::write(&path, &whole).unwrap();
    fs::write(&memory, "damaged").unwrap();
    assert_eq!(check(), []);
    fs::remove_file(&path).unwrap();
    assert!(check()[0].1.contains("is missing"));
}
