//! COCO's annotation file: polygons for every mask, the expression as its category and caption.

use std::collections::BTreeMap;

use mllmseg_data::mask::Bitmap;
use mllmseg_data::mask::outline::outlines;
use serde_json::{Value, json};

use super::polygon::flat_points;

/// The annotations of some images. COCO's polygons have no holes: a hole is reached by a cut
/// ([`joined`](mllmseg_data::mask::outline::Outline::joined)), and pycocotools draws the same mask.
#[derive(Debug, Default)]
pub struct CocoFile {
    images: Vec<Value>,
    annotations: Vec<Value>,
    categories: BTreeMap<String, usize>,
}

impl CocoFile {
    /// Adds an image, and returns its id.
    pub fn add_image(&mut self, file_name: &str, (width, height): (u32, u32)) -> usize {
        let id = self.images.len() + 1;
        self.images
            .push(json!({ "id": id, "file_name": file_name, "width": width, "height": height }));
        id
    }

    /// Adds a mask of an image. An empty one has no annotation, but its expression is a category.
    pub fn add_mask(
        &mut self,
        image_id: usize,
        expression: &str,
        mask: &Bitmap,
        score: f32,
        tolerance: f64,
    ) {
        let next = self.categories.len() + 1;
        let category = *self.categories.entry(expression.to_string()).or_insert(next);
        let Some([left, top, right, bottom]) = mask.bounding_box() else { return };
        let parts = outlines(mask, tolerance);
        let polygons = parts.iter().map(|part| flat_points(&part.joined()));
        self.annotations.push(json!({
            "id": self.annotations.len() + 1,
            "image_id": image_id,
            "category_id": category,
            "segmentation": polygons.collect::<Vec<_>>(),
            "area": mask.area(),
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": 0,
            "score": score,
            "caption": expression,
        }));
    }

    /// The file.
    pub fn json(&self) -> Value {
        let mut categories: Vec<_> = self.categories.iter().collect();
        categories.sort_by_key(|(_, id)| **id);
        let category = |(name, id)| json!({ "id": id, "name": name, "supercategory": "" });
        let categories: Vec<Value> = categories.into_iter().map(category).collect();
        json!({
            "images": self.images,
            "annotations": self.annotations,
            "categories": categories,
        })
    }
}
