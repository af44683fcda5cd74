//! The numbers of the MLLMSeg paper (Tables 1 to 3), in percent.

use mllmseg_data::refer::Dataset::{self, GRefCoco, RefCoco, RefCocoG, RefCocoPlus};
use mllmseg_data::refer::Split::{self, Test, TestA, TestB, Val};

/// The paper's two largest models, in the order of every list here.
pub const MODELS: [&str; 2] = ["MLLMSeg, InternVL2-8B", "MLLMSeg, InternVL2.5-8B"];

/// One number of the paper: its key in our JSON, and its value for each of [`MODELS`].
pub type PublishedNumber = (&'static str, [f64; 2]);

/// What the paper reports for a split; nothing for splits it does not report (`train`, RefCLEF,
/// other splits than the published ones).
pub fn numbers(dataset: Dataset, split_by: &str, split: Split) -> Vec<PublishedNumber> {
    if split_by != dataset.default_split_by() {
        return Vec::new();
    }
    let row: &[PublishedNumber] = match (dataset, split) {
        (RefCoco, Val) => &[("ciou", [79.2, 81.0]), ("rec_prec@0.5", [92.0, 93.5])],
        (RefCoco, TestA) => &[("ciou", [81.0, 82.4]), ("rec_prec@0.5", [94.0, 95.0])],
        (RefCoco, TestB) => &[("ciou", [77.5, 78.7]), ("rec_prec@0.5", [89.0, 90.3])],
        (RefCocoPlus, Val) => &[("ciou", [73.9, 76.4]), ("rec_prec@0.5", [87.4, 89.4])],
        (RefCocoPlus, TestA) => &[("ciou", [77.6, 79.1]), ("rec_prec@0.5", [90.7, 92.3])],
        (RefCocoPlus, TestB) => &[("ciou", [68.6, 72.5]), ("rec_prec@0.5", [81.8, 85.2])],
        (RefCocoG, Val) => &[("ciou", [77.3, 79.9]), ("rec_prec@0.5", [89.0, 91.1])],
        (RefCocoG, Test) => &[("ciou", [78.6, 80.8]), ("rec_prec@0.5", [88.9, 91.3])],
        (GRefCoco, Val) => {
            &[("giou", [73.2, 75.1]), ("ciou", [70.0, 71.6]), ("n_acc", [71.1, 73.2])]
        }
        (GRefCoco, TestA) => {
            &[("giou", [75.2, 77.0]), ("ciou", [75.4, 76.9]), ("n_acc", [68.5, 72.4])]
        }
        (GRefCoco, TestB) => {
            &[("giou", [67.9, 69.7]), ("ciou", [67.1, 68.5]), ("n_acc", [63.1, 65.5])]
        }
        _ => &[],
    };
    row.to_vec()
}
