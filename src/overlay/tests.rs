use std::fs;

use image::{DynamicImage, Rgb, RgbImage};

use super::*;

const WHITE: Rgb<u8> = Rgb([255; 3]);

fn item<'a>(caption: &'a str, mask: Option<&'a [u8]>) -> OverlayItem<'a> {
    OverlayItem { caption, mask, rejected: false }
}

#[test]
fn a_mask_is_half_its_colour_inside_and_all_of_it_on_the_rim() {
    let picture = RgbImage::from_pixel(400, 400, Rgb([100, 100, 100]));
    let mask: Vec<u8> = (0..400 * 400)
        .map(|i| u8::from((100..200).contains(&(i % 400)) && (50..150).contains(&(i / 400))))
        .collect();
    let drawn = draw_overlay(&picture, &[item("a square", Some(&mask))]).unwrap();
    assert_eq!(drawn.width(), 400);
    assert!(drawn.height() > 400, "the legend is below the picture");
    assert_eq!(drawn.get_pixel(98, 100).0, [100; 3], "left of the mask");
    assert_eq!(drawn.get_pixel(99, 100).0, [177; 3], "pale line: (100 + 255) / 2");
    // 400 / 160 = 2 pixels of rim in sky blue, then (100 + 86) / 2, (100 + 180) / 2 and (100 + 233) / 2.
    for x in [100, 101, 198, 199] {
        assert_eq!(drawn.get_pixel(x, 100).0, [86, 180, 233], "rim at {x}");
    }
    for x in [102, 150, 197] {
        assert_eq!(drawn.get_pixel(x, 100).0, [93, 140, 166], "inside at {x}");
    }
}

#[test]
fn a_rejected_expression_leaves_the_picture_alone() {
    let picture = RgbImage::from_fn(330, 40, |x, y| Rgb([x as u8, y as u8, 7]));
    let mask = vec![1; 330 * 40];
    let rejected = OverlayItem { rejected: true, ..item("a purple cow", Some(&mask)) };
    let drawn = draw_overlay(&picture, &[rejected]).unwrap();
    let top = imageops::crop_imm(&drawn, 0, 0, 330, 40).to_image();
    assert_eq!(top, picture);
}

#[test]
fn tiny_and_extreme_pictures_get_a_readable_canvas() {
    // picture, where it lies on the canvas and how large
    for ((width, height), factor) in
        [((1, 1), 320), ((16, 16), 20), ((1, 900), 1), ((3000, 1), 1), ((320, 2), 1), ((7, 3), 45)]
    {
        let picture = RgbImage::from_pixel(width, height, Rgb([0, 0, 90]));
        let mask = vec![0u8; (width * height) as usize];
        let drawn = draw_overlay(&picture, &[item("nothing", Some(&mask))]).unwrap();
        assert_eq!(drawn.width(), (width * factor).max(320), "{width} x {height}");
        let blue = drawn.pixels().filter(|pixel| pixel.0 == [0, 0, 90]).count();
        assert_eq!(blue as u32, width * height * factor * factor, "{width} x {height}");
        assert!(drawn.height() > height * factor + 16, "{width} x {height}: {}", drawn.height());
    }
}

#[test]
fn without_items_the_picture_is_returned_as_it_is() {
    let picture = RgbImage::from_fn(500, 20, |x, y| Rgb([x as u8, y as u8, 1]));
    assert_eq!(draw_overlay(&picture, &[]).unwrap(), picture);
}

#[test]
fn any_text_is_drawn_and_the_band_stays_bounded() {
    let picture = RgbImage::from_pixel(320, 200, WHITE);
    let long = "a very long expression ".repeat(10_000);
    let unbroken = "x".repeat(5_000);
    for caption in [
        "",
        " \n\t",
        "穿红衬衫的人",
        "🐕‍🦺 dog",
        "e\u{301}te\u{0}",
        "כלב",
        &long,
        &unbroken,
        "\u{10FFFF}",
    ] {
        let drawn = draw_overlay(&picture, &[item(caption, None)]).unwrap();
        let dark = drawn.pixels().filter(|pixel| pixel.0[0] < 90).count();
        assert!(dark > 10, "{:?} leaves no mark", caption.chars().take(9).collect::<String>());
        assert!(drawn.height() <= 200 + 110, "{}", drawn.height());
    }
    let many = vec![item("one of many", None); 500];
    assert!(draw_overlay(&picture, &many).unwrap().height() < 200 + 70 * 30);
}

#[test]
fn lines_fit_and_only_the_last_is_cut() {
    let letters = text::Type { height: 20.0 };
    let words = "the man in the red shirt on the left who holds a frisbee and looks at the dog";
    let lines = letters.wrap(words, 200.0, 3);
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| letters.width(line) <= 200.0), "{lines:?}");
    assert!(lines[2].ends_with('…') && !lines[1].ends_with('…'), "{lines:?}");
    assert!(words.starts_with(&format!("{} {}", lines[0], lines[1])), "{lines:?}");
    assert_eq!(letters.wrap("two\n words", 200.0, 3), ["two words"]);
    assert_eq!(letters.wrap("ab", 1.0, 3), ["a", "b"], "one character at least");
}

#[test]
fn twenty_one_items_have_different_colours() {
    let colours: std::collections::HashSet<_> = (0..21).map(|index| colour(index).0).collect();
    assert_eq!(colours.len(), 21);
    assert_eq!(colour(1).0, [230, 159, 0]);
}

#[test]
fn a_mask_of_another_size_is_named() {
    let picture = RgbImage::new(4, 3);
    let error = draw_overlay(&picture, &[item("a dog", Some(&[1; 11]))]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("\"a dog\" has 11 values, but the picture is 4 x 3"), "{text}");
    let empty = draw_overlay(&RgbImage::new(0, 3), &[]).unwrap_err();
    assert_eq!(empty, OverlayError::NoPixels { width: 0, height: 3 });
}

#[test]
fn a_mask_picture_is_black_and_white() {
    let mask = mask_png(&[0, 1, 255, 0, 0, 7], 3, 2).unwrap();
    assert_eq!(mask.into_raw(), [0, 255, 255, 0, 0, 255]);
    assert!(mask_png(&[0; 5], 3, 2).is_err());
}

#[test]
fn a_written_png_replaces_the_old_one_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    fs::write(&path, "old").unwrap();
    let mask = mask_png(&[0, 1], 2, 1).unwrap();
    write_png_atomic(&path, &DynamicImage::ImageLuma8(mask.clone())).unwrap();
    assert_eq!(image::open(&path).unwrap(), DynamicImage::ImageLuma8(mask));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_png_that_cannot_be_written_says_where_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let picture = DynamicImage::new_rgb8(2, 2);
    let missing = folder.path().join("no/such/folder.png");
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    for path in [&missing, &taken] {
        let text = write_png_atomic(path, &picture).unwrap_err().to_string();
        assert!(text.starts_with(path.to_str().unwrap()) && text.contains("check that"), "{text}");
    }
    assert!(write_png_atomic("..", &picture).unwrap_err().to_string().contains("file name"));
    let encoded = write_png_atomic(folder.path().join("a.png"), &DynamicImage::new_rgb8(0, 0));
    assert!(matches!(encoded, Err(PngError::Encode { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the folder made above");
}
