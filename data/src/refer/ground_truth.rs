//! The ground truth: the mask of an expression's targets.

use super::{Annotation, AnnotationId, ImageInfo, MaskSource, ReferDataset, ReferError, own};
use crate::image::{read_index_mask, read_mask};
use crate::mask::Bitmap;

impl ReferDataset {
    /// The mask of `targets` at the image's size, several united; `None` without a target.
    ///
    /// The mask may be empty: some published annotations enclose no pixel. The PNG masks of own data
    /// are read at each call.
    ///
    /// # Errors
    /// [`ReferError::Annotation`] for an annotation that is no mask of its image; in own data
    /// [`ReferError::Line`] or [`ReferError::MissingImage`].
    pub fn mask(
        &self,
        image: &ImageInfo,
        targets: &[AnnotationId],
    ) -> Result<Option<Bitmap>, ReferError> {
        let mut mask: Option<Bitmap> = None;
        for annotation in self.annotations(targets)? {
            let of_one = self.draw(image, annotation)?;
            mask = Some(match mask {
                None => of_one,
                // Both have the image's size.
                Some(mask) => mask.union(&of_one).unwrap_or(mask),
            });
        }
        Ok(mask)
    }

    /// The box that the published scores compare with, `[x, y, width, height]` in pixels: the
    /// smallest around the boxes of the annotations. Where one of them has no box, as in own data, it is the
    /// box of `mask`, which [`mask`](Self::mask) returned. `None` without a target, or for an empty mask without
    /// a box.
    ///
    /// # Errors
    /// If no ref names one of the targets.
    pub fn annotated_box(
        &self,
        targets: &[AnnotationId],
        mask: Option<&Bitmap>,
    ) -> Result<Option<[f64; 4]>, ReferError> {
        let annotations = self.annotations(targets)?;
        let boxes: Option<Vec<_>> = annotations.iter().map(|annotation| annotation.bbox).collect();
        let Some(boxes) = boxes else {
            let corners = mask.and_then(Bitmap::bounding_box);
            return Ok(corners.map(|[x1, y1, x2, y2]| [x1, y1, x2 - x1, y2 - y1].map(f64::from)));
        };
        Ok(enclosing_box(boxes.into_iter()))
    }

    fn draw(&self, image: &ImageInfo, annotation: &Annotation) -> Result<Bitmap, ReferError> {
        if self.is_own() {
            self.image_path(image)?; // an image that was missing has no size
        }
        let line_error = |detail| own::line_error(self.folder(), annotation, detail);
        match &annotation.segmentation {
            MaskSource::Inline(segmentation) => {
                let drawn = segmentation.to_bitmap(image.height as usize, image.width as usize);
                drawn.map_err(|source| match self.is_own() {
                    true => line_error(source.to_string()),
                    false => {
                        let (annotation, image_id) = (annotation.id.to_string(), image.id);
                        ReferError::Annotation { annotation, image_id, source }
                    }
                })
            }
            MaskSource::Png { file, value } => {
                let (path, size) = (self.folder().join(&**file), (image.width, image.height));
                let mask = match value {
                    None => read_mask(path, size.0, size.1),
                    Some(value) => read_index_mask(path, size, *value),
                };
                mask.map_err(|error| line_error(error.to_string()))
            }
        }
    }
}

/// The smallest `[x, y, width, height]` around some.
fn enclosing_box(mut boxes: impl Iterator<Item = [f64; 4]>) -> Option<[f64; 4]> {
    let first = boxes.next()?;
    Some(boxes.fold(first, |[ax, ay, aw, ah], [bx, by, bw, bh]| {
        let (x, y) = (ax.min(bx), ay.min(by));
        let (right, bottom) = ((ax + aw).max(bx + bw), (ay + ah).max(by + bh));
        [x, y, right - x, bottom - y]
    }))
}
