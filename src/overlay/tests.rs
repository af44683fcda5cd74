use std::fs;

use image::{DynamicImage, Rgb, RgbImage, imageops};
use mllmseg_data::mask::Bitmap;

use super::colours::colour;
use super::*;

const WHITE: Rgb<u8> = Rgb([255; 3]);

fn item<'a>(caption: &'a str, mask: Option<&'a Bitmap>) -> OverlayItem<'a> {
    OverlayItem { caption, mask, rejected: false }
}

#[test]
fn an_object_keeps_its_colours_the_rest_is_dimmed_and_words_stand_above() {
    let image = RgbImage::from_pixel(640, 640, Rgb([100, 100, 100]));
    let mask = (0..640 * 640)
        .map(|i| (100..200).contains(&(i % 640)) && (50..150).contains(&(i / 640)))
        .collect();
    let mask = Bitmap::from_pixels(640, 640, mask).unwrap();
    let drawn = draw_overlay(&image, &[item("a square", Some(&mask))]).unwrap();
    assert_eq!(drawn.width(), 640);
    assert!(drawn.height() > 640, "the legend is below the image");
    for x in [100, 101, 150, 199] {
        assert_eq!(drawn.get_pixel(x, 100).0, [100; 3], "inside at {x}");
    }
    // 640 / 200 = 3 pixels of outline in sky blue; 100 * 2 / 5 beyond.
    for x in [97, 99, 200, 202] {
        assert_eq!(drawn.get_pixel(x, 100).0, [86, 180, 233], "outline at {x}");
    }
    for (x, y) in [(96, 100), (203, 100), (600, 600), (150, 154)] {
        assert_eq!(drawn.get_pixel(x, y).0, [40; 3], "dimmed at {x}, {y}");
    }
    // The tag: letters of 640 / 30 pixels on the mask's colour, above the first pixel (100, 50).
    let tag = imageops::crop_imm(&drawn, 60, 18, 80, 20).to_image();
    let blue = tag.pixels().filter(|pixel| pixel.0 == [86, 180, 233]).count();
    let dark = tag.pixels().filter(|pixel| pixel.0[2] < 90).count();
    assert!(blue > 500 && dark > 50, "{blue} of the colour, {dark} of ink");
}

#[test]
fn words_of_objects_at_one_place_do_not_cover_each_other() {
    let image = RgbImage::from_pixel(640, 640, WHITE);
    let mask = (0..640 * 640).map(|i| (300..340).contains(&(i % 640)) && i / 640 > 300).collect();
    let mask = Bitmap::from_pixels(640, 640, mask).unwrap();
    let items = ["one", "two", "six"].map(|caption| item(caption, Some(&mask)));
    let drawn = draw_overlay(&image, &items).unwrap();
    let image = imageops::crop_imm(&drawn, 0, 0, 640, 640).to_image();
    for index in 0..3 {
        let count = image.pixels().filter(|pixel| **pixel == colour(index)).count();
        assert!(count > 400, "tag {index} has {count} pixels");
    }
}

#[test]
fn a_rejected_expression_leaves_the_image_alone() {
    let image = RgbImage::from_fn(650, 40, |x, y| Rgb([x as u8, y as u8, 7]));
    let mask = Bitmap::from_pixels(40, 650, vec![true; 650 * 40]).unwrap();
    let rejected = OverlayItem { rejected: true, ..item("a purple cow", Some(&mask)) };
    let drawn = draw_overlay(&image, &[rejected]).unwrap();
    let top = imageops::crop_imm(&drawn, 0, 0, 650, 40).to_image();
    assert_eq!(top, image);
}

#[test]
fn tiny_and_extreme_images_get_a_readable_canvas() {
    // image, where it lies on the canvas and how large
    for ((width, height), factor) in
        [((1, 1), 640), ((16, 16), 40), ((1, 900), 1), ((3000, 1), 1), ((320, 2), 2), ((7, 3), 92)]
    {
        let image = RgbImage::from_pixel(width, height, Rgb([0, 0, 90]));
        let mask = Bitmap::new(height as usize, width as usize).unwrap();
        let drawn = draw_overlay(&image, &[item("nothing", Some(&mask))]).unwrap();
        assert_eq!(drawn.width(), (width * factor).max(640), "{width} x {height}");
        let blue = drawn.pixels().filter(|pixel| pixel.0 == [0, 0, 90]).count();
        assert_eq!(blue as u32, width * height * factor * factor, "{width} x {height}");
        assert!(drawn.height() > height * factor + 16, "{width} x {height}: {}", drawn.height());
    }
}

#[test]
fn without_items_the_image_is_returned_as_it_is() {
    let image = RgbImage::from_fn(700, 20, |x, y| Rgb([x as u8, y as u8, 1]));
    assert_eq!(draw_overlay(&image, &[]).unwrap(), image);
}

#[test]
fn any_text_is_drawn_and_the_band_stays_bounded() {
    let image = RgbImage::from_pixel(320, 200, WHITE);
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
        let drawn = draw_overlay(&image, &[item(caption, None)]).unwrap();
        let dark = drawn.pixels().filter(|pixel| pixel.0[0] < 90).count();
        assert!(dark > 10, "{:?} leaves no mark", caption.chars().take(9).collect::<String>());
        assert!(drawn.height() <= 400 + 110, "{}", drawn.height());
    }
    let many = vec![item("one of many", None); 500];
    assert!(draw_overlay(&image, &many).unwrap().height() < 400 + 70 * 30);
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
    let image = RgbImage::new(4, 3);
    let mask = Bitmap::new(4, 3).unwrap();
    let error = draw_overlay(&image, &[item("a dog", Some(&mask))]).unwrap_err().to_string();
    assert!(error.contains("\"a dog\" is 4 x 3, but the image is 3 x 4"), "{error}");
    let empty = draw_overlay(&RgbImage::new(0, 3), &[]).unwrap_err();
    assert_eq!(empty, OverlayError::NoPixels(0, 3));
}

#[test]
fn a_mask_image_is_black_and_white() {
    let mask = mask_image(&Bitmap::from_bytes(2, 3, &[0, 1, 1, 0, 0, 1]).unwrap());
    assert_eq!((mask.dimensions(), mask.into_raw()), ((3, 2), vec![0, 255, 255, 0, 0, 255]));
}

#[test]
fn a_mask_is_stretched_over_a_thumbnail() {
    let mut thumbnail = RgbImage::from_pixel(3, 1, Rgb([80; 3]));
    let mask = Bitmap::from_bytes(1, 9, &[1, 0, 0, 0, 0, 0, 0, 1, 0]).unwrap();
    paint(&mut thumbnail, &[(&mask, Rgb([34, 197, 94]))]);
    // The middles of the pixels are at 1, 4 and 7 of 9; the first two are beside the third.
    assert_eq!(thumbnail.into_raw(), [34, 197, 94, 34, 197, 94, 80, 80, 80]);
}

#[test]
fn a_png_replaces_the_old_one_or_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    fs::write(&path, "old").unwrap();
    write_png(&path, DynamicImage::new_rgb8(0, 0)).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let mask = mask_image(&Bitmap::from_bytes(1, 2, &[0, 1]).unwrap());
    write_png(&path, mask.clone()).unwrap();
    assert_eq!(image::open(&path).unwrap(), mask.into());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
