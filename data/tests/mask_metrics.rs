//! All metrics under both protocols against NumPy: `tests/oracle/metrics_oracle.py` wrote the
//! expected reports.

use mllmseg_data::mask::polygon::rasterize;
use mllmseg_data::mask::{Bitmap, Rle};
use mllmseg_data::metrics::{Answer, GeneralizedMetrics, Protocol, ReferringMetrics};
use serde_json::Value;

mod shapes;

const EXPRESSIONS: u64 = 600;

struct Expression {
    image: u64,
    prediction: Bitmap,
    truth: Bitmap,
    annotated_box: [f64; 4],
    has_target: bool,
    rejected: bool,
}

/// Expression number `index` of the oracle.
fn expression(index: u64) -> Expression {
    let r = &mut shapes::Random::new(3_000_000 + index);
    let (height, width) = (8 + r.below(57), 8 + r.below(57));
    let (mut truth, mut prediction) = (Vec::new(), Vec::new());
    let jitter = r.uniform();
    for _ in 0..3 + r.below(4) {
        for side in [width as f64, height as f64] {
            let at = r.uniform();
            truth.push(at * side);
            prediction.push((at + (r.uniform() - 0.5) * jitter) * side);
        }
    }
    if r.below(10) == 0 {
        prediction.clear();
    }
    let has_target = r.below(4) != 0;
    let rejected = if has_target { r.below(3) == 0 } else { r.below(3) != 0 };
    let truth = rasterize(height, width, &[truth]).unwrap();
    let coco_box = Rle::from_bitmap(&truth).coco_box();
    Expression {
        image: index * index % 97,
        prediction: rasterize(height, width, &[prediction]).unwrap(),
        annotated_box: coco_box.map(|side| f64::from(side) + r.below(9) as f64 / 4.0),
        truth,
        has_target,
        rejected,
    }
}

fn accumulate<'a>(
    protocol: Protocol,
    expressions: impl Iterator<Item = &'a Expression>,
) -> (ReferringMetrics, GeneralizedMetrics) {
    let mut referring = ReferringMetrics::new(protocol);
    let mut generalized = GeneralizedMetrics::new(protocol);
    for e in expressions {
        referring.add(e.image, &e.prediction, &e.truth, Some(e.annotated_box)).unwrap();
        let answer = Answer { mask: &e.prediction, rejected: e.rejected };
        generalized.add(e.image, answer, e.has_target.then_some(&e.truth)).unwrap();
    }
    (referring, generalized)
}

/// Same keys, and the same numbers but for rounding.
fn assert_same(found: Value, expected: &Value) {
    let (found, expected) = (found.as_object().unwrap(), expected.as_object().unwrap());
    assert_eq!(found.len(), expected.len());
    for (key, expected) in expected {
        match (found[key].as_f64(), expected.as_f64()) {
            (Some(a), Some(b)) => assert!((a - b).abs() < 1e-9, "{key}: {a}, expected {b}"),
            _ => assert_eq!(&found[key], expected, "{key}"),
        }
    }
}

#[test]
fn reports_are_the_oracles_in_any_order_and_in_parts() {
    let expected: Value = serde_json::from_str(include_str!("fixtures/mask/metrics.json")).unwrap();
    let expressions: Vec<_> = (0..EXPRESSIONS).map(expression).collect();
    for (name, protocol) in [("standard", Protocol::Standard), ("released", Protocol::Released)] {
        let (referring, generalized) = accumulate(protocol, expressions.iter());
        let report = serde_json::to_value(referring.report()).unwrap();
        assert_same(report, &expected[name]["referring"]);
        let report = serde_json::to_value(generalized.report()).unwrap();
        assert_same(report, &expected[name]["generalized"]);

        let (first, second) = expressions.split_at(217);
        let (_, mut later) = accumulate(protocol, second.iter().rev());
        later.merge(&accumulate(protocol, first.iter().rev()).1).unwrap();
        assert_eq!(later.report(), generalized.report(), "the same to the last bit");
        let (backwards, _) = accumulate(protocol, expressions.iter().rev());
        assert_eq!(backwards.report(), referring.report());
    }
}
