//! Masks against pycocotools 2.0.11: `tests/oracle/mask_oracle.py` wrote the expected values.

use mllmseg_data::mask::outline::{Outline, Ring, join_parts, outlines};
use mllmseg_data::mask::polygon::rasterize;
use mllmseg_data::mask::{Bitmap, Rle, Segmentation};

mod shapes;

fn records<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u32; N]> {
    let words = bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word));
    words.collect::<Vec<_>>().as_chunks().0.to_vec().into_iter()
}

#[test]
fn every_polygon_has_pycocotools_pixels() {
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
        if found.each_ref().map(|bytes| crc32fast::hash(bytes)) != [bitmap, string, measures] {
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
        let union = first.union(&second).unwrap();
        let both = first.pixels().iter().zip(second.pixels()).map(|(&a, &b)| a & b).collect();
        let intersection = Bitmap::from_pixels(height, width, both).unwrap();
        let overlap = first.overlap(&second).unwrap();
        assert_eq!(overlap.intersection, intersection.area());
        let string =
            |mask: &Bitmap| crc32fast::hash(Rle::from_bitmap(mask).to_coco_string().as_bytes());
        let found = [
            string(&first),
            string(&second),
            string(&union),
            string(&intersection),
            crc32fast::hash(&overlap.iou().to_le_bytes()),
        ];
        assert_eq!(found, expected, "pair {index}");
        let both =
            [first, second].map(|mask| serde_json::to_value(Rle::from_bitmap(&mask)).unwrap());
        let both: Segmentation = serde_json::from_value(both.into()).unwrap();
        assert_eq!(both.to_bitmap(height, width).unwrap(), union);
        compared += 1;
    }
    assert_eq!(compared, 2_000);
}

/// Masks of noise, coarse and fine, and of nested rings; `rasterize` agrees with pycocotools.
#[test]
fn an_outline_rasterised_again_is_the_mask() {
    let mut random = shapes::Random::new(77);
    for round in 0..300 {
        let side = |value: f64| 1 + (value * 40.0) as usize;
        let (height, width) = (side(random.uniform()), side(random.uniform()));
        let (share, grain) = (random.uniform(), 1 + round % 3);
        let noise: Vec<_> = (0..height * width).map(|_| random.uniform() < share).collect();
        let pixel = |i: usize| noise[(i / width / grain) * width + i % width / grain];
        let mask: Vec<_> = (0..height * width).map(pixel).collect();
        let mask = Bitmap::from_pixels(height, width, mask).unwrap();
        let parts = outlines(&mask, 0.0);
        let polygons: Vec<_> = parts.iter().map(|part| flat(&part.joined())).collect();
        assert_eq!(rasterize(height, width, &polygons).unwrap(), mask, "round {round}");
        let whole = rasterize(height, width, &[flat(&join_parts(&parts))]).unwrap();
        assert_eq!(whole, mask, "round {round}: one ring for all parts");
        // By the even-odd rule, as SVG fills: every ring on its own.
        let mut odd = vec![false; height * width];
        for ring in parts.iter().flat_map(Outline::rings) {
            let one = rasterize(height, width, &[flat(ring)]).unwrap();
            odd.iter_mut().zip(one.pixels()).for_each(|(odd, one)| *odd ^= one);
        }
        assert_eq!(odd, mask.pixels(), "round {round}: even-odd");
    }
}

fn flat(ring: &Ring) -> Vec<f64> {
    ring.iter().flatten().map(|&value| f64::from(value)).collect()
}
