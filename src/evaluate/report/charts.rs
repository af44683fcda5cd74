//! The two charts, as SVG.

use std::fmt::Write as _;

/// Bars of the histogram, each 0.05 wide.
const BINS: usize = 20;
/// The plotting area: left, top, width and height in SVG units.
const AREA: [f64; 4] = [52.0, 14.0, 440.0, 210.0];

/// How many expressions have which IoU.
pub(super) fn histogram(ious: &[f64]) -> String {
    let mut counts = [0usize; BINS];
    for iou in ious {
        let bin = (iou * BINS as f64) as usize; // an IoU of 1 belongs to the last
        counts[bin.min(BINS - 1)] += 1;
    }
    let top = nice_ceiling(counts.iter().copied().max().unwrap_or(0));
    let [left, above, width, height] = AREA;
    let mut svg = frame("Histogram of IoU", |part| format!("{}", (part * top as f64).round()));
    let step = width / BINS as f64;
    for (bin, count) in counts.into_iter().enumerate() {
        let tall = height * count as f64 / top as f64;
        let (from, to) = (bin as f64 / BINS as f64, (bin + 1) as f64 / BINS as f64);
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\">\
             <title>IoU {from:.2} to {to:.2}: {count}</title></rect>",
            left + step * bin as f64 + 1.0,
            above + height - tall,
            step - 2.0,
        );
    }
    svg + "</svg>"
}

/// The part of the expressions whose IoU is at least X, over X.
pub(super) fn precision_curve(ious: &[f64]) -> String {
    const STEPS: usize = 100;
    let mut svg = frame("Precision at each threshold", |part| format!("{:.0} %", part * 100.0));
    let [left, above, width, height] = AREA;
    let part_at = |x: f64| {
        let found = ious.iter().filter(|&&iou| iou >= x).count();
        found as f64 / ious.len().max(1) as f64
    };
    let mut points = String::new();
    for step in 0..=STEPS {
        let x = step as f64 / STEPS as f64;
        let y = above + height * (1.0 - part_at(x));
        let _ = write!(points, "{:.1},{y:.1} ", left + width * x);
    }
    let _ = write!(svg, "<polyline class=\"curve\" points=\"{points}\"/>");
    for threshold in [0.5, 0.6, 0.7, 0.8, 0.9] {
        let part = part_at(threshold);
        let _ = write!(
            svg,
            "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\">\
             <title>Prec@{threshold}: {:.2} %</title></circle>",
            left + width * threshold,
            above + height * (1.0 - part),
            100.0 * part
        );
    }
    svg + "</svg>"
}

/// Axes: IoU from 0 to 1 across, and five lines upwards, labelled by their part of the height.
fn frame(name: &str, label: impl Fn(f64) -> String) -> String {
    let [left, above, width, height] = AREA;
    let bottom = above + height;
    let mut svg = format!("<svg viewBox=\"0 0 510 262\" role=\"img\" aria-label=\"{name}\">");
    let text = |x: f64, y: f64, anchor: &str, text: &str| {
        format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>")
    };
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (right, y) = (left + width, bottom - height * part);
        svg += &format!(
            "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
        );
        svg += &text(left - 8.0, y + 4.0, "end", &label(part));
    }
    for part in [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] {
        svg += &text(left + width * part, bottom + 18.0, "middle", &format!("{part:.1}"));
    }
    svg + &text(left + width / 2.0, bottom + 34.0, "middle", "IoU")
}

/// The least of 4, 8, 20, 40, 80, 200, ... that is not less: its quarters are whole.
fn nice_ceiling(count: usize) -> usize {
    let mut scale = 1usize;
    loop {
        for quarter in [1, 2, 5] {
            let candidate = 4 * quarter * scale;
            if candidate >= count {
                return candidate;
            }
        }
        scale *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_count_by_hand() {
        let svg = histogram(&[0.0, 0.04, 0.5, 1.0, 1.0]);
        for title in ["IoU 0.00 to 0.05: 2", "IoU 0.50 to 0.55: 1", "IoU 0.95 to 1.00: 2"] {
            assert!(svg.contains(title), "{title}");
        }
        let svg = precision_curve(&[0.5, 0.65, 0.2, 1.0]);
        assert!(svg.contains("Prec@0.5: 75.00 %") && svg.contains("Prec@0.6: 50.00 %"));
        assert_eq!([0, 4, 5, 21, 1000].map(nice_ceiling), [4, 4, 8, 40, 2000]);
        assert!(histogram(&[]).ends_with("</svg>") && precision_curve(&[]).ends_with("</svg>"));
    }
}
