//! Masks as SVG: one path each, holes by the even-odd rule.

use std::fmt::Write as _;

use mllmseg_data::mask::outline::{Outline, Ring};

/// A mask in a drawing.
pub struct SvgLayer<'a> {
    /// Its words.
    pub title: &'a str,
    /// Its parts.
    pub parts: &'a [Outline],
    /// Its colour as `#rrggbb`.
    pub colour: String,
}

/// A drawing of the image's size, without the image.
pub fn svg_document(width: u32, height: u32, layers: &[SvgLayer]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\">\n"
    );
    for SvgLayer { title, parts, colour } in layers {
        let path: String = parts.iter().flat_map(Outline::rings).map(path_of).collect();
        let title = escape(title);
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<path fill=\"{colour}\" fill-rule=\"evenodd\" d=\"{path}\"><title>{title}</title></path>"
        );
    }
    svg + "</svg>\n"
}

fn path_of(ring: &Ring) -> String {
    let mut path = String::new();
    for (index, &[x, y]) in ring.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| ring[before]);
        let _ = match before {
            None => write!(path, "M{x} {y}"),
            Some([_, above]) if above == y => write!(path, "H{x}"),
            Some([left, _]) if left == x => write!(path, "V{y}"),
            Some(_) => write!(path, "L{x} {y}"),
        };
    }
    path + "Z"
}

/// Text in an element; characters that XML forbids are left out.
fn escape(text: &str) -> String {
    let allowed = |c: &char| !c.is_control() && !matches!(c, '\u{FFFE}' | '\u{FFFF}');
    let text: String = text.chars().filter(allowed).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use mllmseg_data::mask::Bitmap;
    use mllmseg_data::mask::outline::outlines;

    use super::*;

    #[test]
    fn a_hole_is_a_second_ring_of_the_path() {
        let mask = Bitmap::from_bytes(3, 3, &[1, 1, 1, 1, 0, 1, 1, 1, 1]).unwrap();
        let parts = outlines(&mask, 0.0);
        let layer = SvgLayer { title: "a <b> & c\u{1}", parts: &parts, colour: "#56b4e9".into() };
        let svg = svg_document(3, 3, &[layer]);
        assert!(svg.contains("d=\"M0 0H3V3H0ZM1 2H2V1H1Z\""), "{svg}");
        assert!(svg.contains("<title>a &lt;b&gt; &amp; c</title>"), "{svg}");
    }
}
