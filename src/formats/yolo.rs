//! Ultralytics' segmentation labels: a text file for each image, a polygon for each object.

use std::collections::HashMap;
use std::fmt::Write as _;

use mllmseg_data::mask::Bitmap;
use mllmseg_data::mask::outline::{join_parts, outlines};

/// The classes of a set of label files: one for each expression, in the order in which they come.
#[derive(Debug, Default)]
pub struct YoloFile {
    classes: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl YoloFile {
    /// The line of one object: class and corners from 0 to 1; nothing for an empty mask. Parts and holes
    /// are joined by cuts, since the format has one ring an object.
    pub fn line(&mut self, expression: &str, mask: &Bitmap, tolerance: f64) -> String {
        let next = self.classes.len();
        let class = *self.numbers.entry(expression.to_string()).or_insert_with(|| {
            self.classes.push(expression.to_string());
            next
        });
        let ring = join_parts(&outlines(mask, tolerance));
        if ring.is_empty() {
            return String::new();
        }
        let mut line = class.to_string();
        for [x, y] in ring {
            let share = |place: u32, side: usize| f64::from(place) / side as f64;
            let (x, y) = (share(x, mask.width()), share(y, mask.height()));
            let _ = write!(line, " {x:.6} {y:.6}"); // writing to a string does not fail
        }
        line + "\n"
    }

    /// `classes.txt`: the class of a number stands in that line, counted from 0.
    pub fn classes(&self) -> String {
        self.classes.iter().map(|class| class.replace(['\n', '\r'], " ") + "\n").collect()
    }
}
