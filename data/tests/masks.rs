//! Masks against pycocotools 2.0.11 and torch's interpolation: `tests/oracle/mask_oracle.py` wrote
//! the expected values.

use mllmseg_data::mask::polygon::rasterize;
use mllmseg_data::mask::probability::{mask_from_probabilities, resize_bilinear};
use mllmseg_data::mask::{Bitmap, Rle, Segmentation};

mod shapes;

/// The checksum of zlib, PNG and Ethernet.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

fn records<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u32; N]> {
    let words = bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word));
    words.collect::<Vec<_>>().as_chunks().0.to_vec().into_iter()
}

#[test]
fn every_polygon_has_pycocotools_pixels() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926, "the checksum's published check value");
    let mut wrong = Vec::new();
    let mut compared = [0u64; 2];
    for (index, [bitmap, string, measures]) in
        records(include_bytes!("fixtures/mask/shapes.bin")).enumerate()
    {
        let (height, width, parts) = shapes::shape(index as u64);
        let mask = rasterize(height, width, &parts).unwrap();
        let rle = Rle::from_bitmap(&mask);
        let [x, y, w, h] = rle.coco_box();
        let text = format!("{} {x} {y} {w} {h}", rle.area());
        let found = [mask.to_bytes(1), rle.to_coco_string().into_bytes(), text.into_bytes()];
        if found.each_ref().map(|bytes| crc32(bytes)) != [bitmap, string, measures] {
            wrong.push(index);
        }
        assert_eq!(mask.area(), rle.area());
        let box_of_mask = mask.bounding_box().map(|[l, t, r, b]| [l, t, r - l, b - t]);
        assert_eq!(box_of_mask.unwrap_or([0; 4]), rle.coco_box());
        let again = Rle::from_coco_string(rle.size(), &rle.to_coco_string()).unwrap();
        assert_eq!(again, rle);
        assert_eq!(again.to_bitmap(), mask);
        compared = [compared[0] + 1, compared[1] + u64::from(mask.area() > 0)];
    }
    assert_eq!(wrong, [0usize; 0], "shapes whose pixels, string, area or box differ");
    assert_eq!(compared[0], 12_000);
    assert!(compared[1] > 9_000, "only {} shapes hold a pixel", compared[1]);
}

#[test]
fn unions_intersections_and_ious_are_pycocotools() {
    let mut compared = 0;
    for (index, expected) in records(include_bytes!("fixtures/mask/pairs.bin")).enumerate() {
        let (height, width, first, second) = shapes::random_pixels(index as u64);
        let first = Bitmap::from_pixels(height, width, first).unwrap();
        let second = Bitmap::from_pixels(height, width, second).unwrap();
        let (a, b) = (Rle::from_bitmap(&first), Rle::from_bitmap(&second));
        let (union, intersection) = (a.union(&b).unwrap(), a.intersection(&b).unwrap());
        let overlap = a.overlap(&b).unwrap();
        let string = |rle: &Rle| crc32(rle.to_coco_string().as_bytes());
        let found = [
            string(&a),
            string(&b),
            string(&union),
            string(&intersection),
            crc32(&overlap.iou().to_le_bytes()),
        ];
        assert_eq!(found, expected, "pair {index}");
        assert_eq!(first.union(&second).unwrap(), union.to_bitmap());
        assert_eq!(first.intersection(&second).unwrap(), intersection.to_bitmap());
        assert_eq!(first.overlap(&second).unwrap(), overlap);
        let both = [a, b].map(|rle| serde_json::to_value(rle).unwrap());
        let both: Segmentation = serde_json::from_value(both.into()).unwrap();
        assert_eq!(both.to_bitmap(height, width).unwrap(), union.to_bitmap());
        compared += 1;
    }
    assert_eq!(compared, 2_000);
}

/// (from, to) as in the oracle, and how many values of the largest are skipped per one kept.
const RESIZES: [((usize, usize), (usize, usize)); 9] = [
    ((7, 5), (13, 9)),
    ((4, 4), (4, 4)),
    ((14, 14), (31, 20)),
    ((32, 32), (10, 17)),
    ((1, 1), (5, 3)),
    ((1, 8), (4, 3)),
    ((9, 2), (3, 40)),
    ((33, 21), (100, 64)),
    ((448, 448), (480, 640)),
];
const LARGE_STEP: usize = 97;

#[test]
fn probabilities_are_stretched_as_by_torch() {
    let mut expected = include_bytes!("fixtures/mask/resize.bin").as_chunks().0.iter();
    for (index, (from, to)) in RESIZES.into_iter().enumerate() {
        let mut random = shapes::Random::new(2_000_000 + index as u64);
        let source: Vec<_> = (0..from.0 * from.1).map(|_| random.uniform() as f32).collect();
        let resized = resize_bilinear(&source, from, to).unwrap();
        let step = if resized.len() > 100_000 { LARGE_STEP } else { 1 };
        for (place, &found) in resized.iter().enumerate().step_by(step) {
            let expected = f32::from_le_bytes(*expected.next().unwrap());
            assert_eq!(found, expected, "{from:?} -> {to:?}, value {place}");
        }
        let mask = mask_from_probabilities(&source, from, to).unwrap();
        let thresholded: Vec<_> = resized.iter().map(|&value| value >= 0.5).collect();
        assert_eq!(mask.pixels(), thresholded);
    }
    assert!(expected.next().is_none());
}
