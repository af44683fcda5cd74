//! Decoding against Pillow's pixels, and what a file that is too large, damaged or something else leads to.

use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::png::PngEncoder};
use mllmseg_data::image::{
    ImageError, MAX_PIXELS, Orientation, check_image, decode_image, jpeg_recompress, read_image,
    read_size,
};

/// One case of `decode.json`, written by `tests/oracle/image_decode.py` with Pillow.
#[derive(serde::Deserialize)]
struct Case {
    name: String,
    tolerance: u8,
    file: String,
    size: (u32, u32),
    rgb: String,
    stored_size: (u32, u32),
}

fn cases() -> Vec<Case> {
    #[derive(serde::Deserialize)]
    struct Cases {
        cases: Vec<Case>,
    }
    let text = include_str!("fixtures/image/decode.json");
    serde_json::from_str::<Cases>(text).unwrap().cases
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn file(name: &str) -> Vec<u8> {
    bytes(&cases().into_iter().find(|case| case.name == name).unwrap().file)
}

fn upright(bytes: &[u8], name: &str) -> Result<RgbImage, ImageError> {
    decode_image(bytes, name, Orientation::Upright)
}

fn message(result: Result<RgbImage, ImageError>) -> String {
    result.expect_err("an error").to_string()
}

#[test]
fn every_kind_of_file_reads_as_pillow_reads_it() {
    let cases = cases();
    assert_eq!(cases.len(), 88);
    let mut failures = Vec::new();
    for case in cases {
        let decoded = upright(&bytes(&case.file), &case.name).unwrap();
        assert_eq!(decoded.dimensions(), case.size, "{}", case.name);
        let expected = bytes(&case.rgb);
        let worst = decoded.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        if worst > case.tolerance {
            failures.push(format!("{}: off by {worst}", case.name));
        }
        let stored = decode_image(&bytes(&case.file), &case.name, Orientation::Stored);
        assert_eq!(stored.unwrap().dimensions(), case.stored_size, "{}", case.name);
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_size_is_in_the_header() {
    let path = tempfile::NamedTempFile::new().unwrap();
    let size = |bytes: &[u8], orientation| {
        std::fs::write(path.path(), bytes).unwrap();
        read_size(path.path(), orientation)
    };
    for case in cases() {
        let file = bytes(&case.file);
        assert_eq!(size(&file, Orientation::Upright).unwrap(), case.size, "{}", case.name);
        assert_eq!(size(&file, Orientation::Stored).unwrap(), case.stored_size, "{}", case.name);
        for cut in 0..file.len().min(60) {
            let _ = size(&file[..cut], Orientation::Upright); // an error or a size, no panic
        }
    }
    // A JPEG whose header is longer than what is read at first: 40 comments of 60 kB.
    let jpeg = file("jpeg exif 6");
    let comment = [&[0xFF, 0xFE, 0xEA, 0x60][..], &[b'x'; 59_998]].concat();
    let long = [&jpeg[..2], &comment.repeat(40), &jpeg[2..]].concat();
    let expected = cases().into_iter().find(|case| case.name == "jpeg exif 6").unwrap().size;
    assert_eq!(size(&long, Orientation::Upright).unwrap(), expected);
    assert!(
        size(b"notes", Orientation::Upright).unwrap_err().to_string().contains("known formats")
    );
    let error = read_size(std::env::temp_dir(), Orientation::Upright).unwrap_err();
    assert!(error.to_string().contains("no regular file"), "{error}");
}

#[test]
fn of_16_bit_grey_the_upper_byte_is_kept() {
    let values = [0u16, 255, 256, 0x7FFF, 0x8000, 0xFFFF];
    let native: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    let mut png = Vec::new();
    let encoder = PngEncoder::new(&mut png);
    encoder.write_image(&native, 6, 1, ExtendedColorType::L16).unwrap();
    let rgb = upright(&png, "grey").unwrap();
    let expected: Vec<u8> = [0, 0, 1, 127, 128, 255].into_iter().flat_map(|v| [v; 3]).collect();
    assert_eq!(rgb.into_raw(), expected);
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.jpg");
    for path in [missing.as_path(), folder.path()] {
        let error = read_image(path).unwrap_err();
        assert!(matches!(error, ImageError::Unreadable { .. }), "{error}");
        assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_file_over_256_mib_is_refused_after_reading_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.png");
    std::fs::File::create(&path).unwrap().set_len((256 << 20) + 1).unwrap();
    let error = read_image(&path).unwrap_err();
    assert!(matches!(error, ImageError::FileTooLarge { .. }), "{error}");
    assert!(error.to_string().contains("larger than 256 MiB"), "{error}");
}

/// A 24-bit BMP header that promises `width` x `height` pixels, and no pixels.
fn bmp_header(width: i32, height: i32) -> Vec<u8> {
    let mut file = b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    file
}

/// Too many pixels are refused before any is decoded.
#[test]
fn what_is_not_an_image_that_can_be_read_is_refused_by_name() {
    let many = bmp_header(25_000, 10_001);
    let cases: [(&str, &[u8], &str); 6] = [
        (
            "notes.txt",
            b"a caption",
            "notes.txt: expected a JPEG, PNG, WebP, BMP, GIF or TIFF image",
        ),
        ("empty.jpg", b"", "an empty file"),
        ("many.bmp", &many, "many.bmp: the image is 25000 x 10001 pixels, 716 MiB in memory"),
        ("many.bmp", &many, "at most 250 million pixels and 1024 MiB"),
        ("many.bmp", &many, "scale it down"),
        ("none.bmp", &bmp_header(0, 5), "none.bmp: "),
    ];
    for (name, bytes, expected) in cases {
        let text = message(upright(bytes, name));
        assert!(text.starts_with(name) && text.contains(expected), "{text}");
    }
}

#[test]
fn other_formats_are_told_by_their_bytes() {
    let heic = b"\0\0\0\x24ftypheic\0\0\0\0mif1heicmiafMiHB".as_slice();
    let avif = b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B".as_slice();
    let resource = b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ".as_slice();
    let dicom = [&[0; 128][..], b"DICM"].concat();
    let cases: [(&[u8], &str); 14] = [
        (heic, "found HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "found HEIC"),
        (avif, "found AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "found AVIF"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "found JPEG XL"),
        (b"\xff\x0a\x41", "found JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "found JPEG 2000"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "found an MP4 video"),
        (b"%PDF-1.7", "found a PDF"),
        (b"\n<!DOCTYPE html><title>404</title>", "found a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (resource, "macOS resource file"),
        (&dicom, "found a DICOM file"),
        (&[0; 200], "found zeros only"),
    ];
    let path = tempfile::NamedTempFile::new().unwrap();
    for (bytes, expected) in cases {
        let text = message(upright(bytes, "photo.jpg"));
        assert!(
            text.starts_with("photo.jpg: expected a JPEG") && text.contains(expected),
            "{text}"
        );
        std::fs::write(path.path(), bytes).unwrap();
        let text = read_size(path.path(), Orientation::Upright).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}

/// A TIFF of 32-bit grey: its format is known and its pixels are not.
#[test]
fn a_kind_that_the_decoder_does_not_know_is_no_damage() {
    let mut tiff = file("tiff grey");
    let bits = tiff.windows(4).position(|entry| entry == [2, 1, 3, 0]).unwrap();
    tiff[bits + 8] = 32;
    let text = message(upright(&tiff, "depth.tif"));
    assert!(text.starts_with("depth.tif: this kind of TIFF is not read ("), "{text}");
}

/// The frame would take 400 MB, of which the canvas shows 6 x 26 pixels.
#[test]
fn a_frame_far_beyond_its_canvas_is_refused() {
    let size = |width: u16, height: u16| [width.to_le_bytes(), height.to_le_bytes()].concat();
    let palette = [&[0x80, 0, 0][..], &[0; 6]].concat();
    let frame = [&b",\0\0\0\0"[..], &size(10_000, 10_000), b"\0"].concat();
    let gif = [&b"GIF89a"[..], &size(6, 26), &palette, &frame, b"\x02\x01\x4c\0;"].concat();
    let text = message(upright(&gif, "bomb.gif"));
    assert!(text.contains("a part of it claims to be far larger than the image"), "{text}");
}

#[test]
fn a_side_has_no_limit_of_its_own() {
    let mut png = Vec::new();
    let grey = vec![7u8; 3_000_000];
    let encoder = PngEncoder::new(&mut png);
    encoder.write_image(&grey, 3_000_000, 1, ExtendedColorType::L8).unwrap();
    assert_eq!(upright(&png, "long.png").unwrap().dimensions(), (3_000_000, 1));
    // A mask may be as large as its image.
    assert_eq!(MAX_PIXELS, mllmseg_data::mask::MAX_PIXELS as u64);
}

#[test]
fn a_file_that_breaks_off_is_refused_wherever_it_does() {
    // How many of a file's last bytes hold no pixels: PNG's end chunk and checksum, WebP's padding.
    let kinds = [
        ("jpeg 4:2:0", 0),
        ("jpeg 4:2:2 progressive", 0),
        ("jpeg exif 6", 0),
        ("png rgb", 16),
        ("webp lossy", 1),
        ("webp lossless", 1),
        ("bmp 24 bits", 0),
        ("gif", 4),
    ];
    for (name, idle) in kinds {
        let whole = file(name);
        for length in 0..whole.len() - idle {
            let result = upright(&whole[..length], name);
            assert!(result.is_err(), "{name}: read {length} bytes of {}", whole.len());
            let text = message(result);
            assert!(text.starts_with(name), "{text}");
        }
    }
}

#[test]
fn a_file_that_breaks_off_is_found_without_decoding_it() {
    let path = tempfile::NamedTempFile::new().unwrap();
    for name in ["jpeg 4:2:0", "png rgb", "webp lossy"] {
        let whole = file(name);
        for (length, complete) in [(whole.len(), true), (whole.len() - 12, false)] {
            std::fs::write(path.path(), &whole[..length]).unwrap();
            let checked = check_image(path.path(), Orientation::Upright);
            assert_eq!(checked.is_ok(), complete, "{name} {length}");
        }
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    for case in cases() {
        let whole = bytes(&case.file);
        for _ in 0..400 {
            let mut broken = whole.clone();
            for _ in 0..1 + next() % 4 {
                let at = next() % broken.len();
                broken[at] = next() as u8;
            }
            let _ = upright(&broken, &case.name);
        }
    }
}

#[test]
fn recompression_changes_little_at_quality_100_and_more_at_75() {
    let image = RgbImage::from_fn(64, 48, |x, y| {
        image::Rgb([(x * 4) as u8, (y * 5) as u8, ((x * y) % 97) as u8])
    });
    let error = |quality| {
        let changed = jpeg_recompress(&image, quality).unwrap();
        assert_eq!(changed.dimensions(), image.dimensions());
        let differences = changed.iter().zip(image.iter()).map(|(a, b)| a.abs_diff(*b));
        differences.map(f64::from).sum::<f64>() / image.len() as f64
    };
    let (best, worst) = (error(100), error(75));
    assert!(best < 1.0 && worst > best && worst < 8.0, "{best}, {worst}");
}

#[test]
fn recompression_refuses_what_jpeg_cannot_hold() {
    for (width, height) in [(0, 4), (65_536, 1)] {
        let text = message(jpeg_recompress(&RgbImage::new(width, height), 90));
        assert!(text.contains(&format!("{width} x {height}")), "{text}");
    }
}
