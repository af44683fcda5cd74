//! The files of masks, in the format that was asked for.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use mllmseg::MaskPrediction;
use mllmseg::data::files::{FileError, write_file};
use mllmseg::data::mask::outline::outlines;
use mllmseg::formats::{CocoFile, SvgLayer, YoloFile, polygons_json, svg_document};
use mllmseg::overlay::{colour_code, mask_image, write_png};
use serde_json::json;

use super::inputs::Input;

/// How masks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MaskFormat {
    /// A grey PNG for each mask
    Png,
    /// Polygons with holes in pixels, a JSON file for each picture
    Polygon,
    /// A drawing for each picture, a path for each mask
    Svg,
    /// COCO's annotations.json for all pictures
    Coco,
    /// Ultralytics' labels: a text file for each picture, and classes.txt
    Yolo,
}

/// Writes the masks of one picture after another.
pub struct MaskWriter {
    format: MaskFormat,
    tolerance: f64,
    coco: CocoFile,
    yolo: YoloFile,
}

impl MaskWriter {
    pub fn new(format: MaskFormat, tolerance: f64) -> Self {
        Self { format, tolerance, coco: CocoFile::default(), yolo: YoloFile::default() }
    }

    /// Writes what belongs to one picture, and returns the file of each mask.
    pub fn write(
        &mut self,
        answers: &[MaskPrediction],
        size: (u32, u32),
        input: &Input,
        folder: &Path,
    ) -> Result<Vec<PathBuf>, FileError> {
        let file = |ending: &str| folder.join(format!("{}{ending}", input.name));
        let parts = |answer: &MaskPrediction| outlines(&answer.mask, self.tolerance);
        let path = match self.format {
            MaskFormat::Png => {
                let numbered = answers.iter().enumerate().map(|(number, answer)| {
                    let path = file(&format!("_mask{}.png", number + 1));
                    write_png(&path, mask_image(&answer.mask)).map(|()| path)
                });
                return numbered.collect();
            }
            MaskFormat::Polygon => {
                let path = file("_polygons.json");
                let masks = answers.iter().map(|answer| {
                    json!({ "expression": answer.expression, "polygons": polygons_json(&parts(answer)) })
                });
                let masks = masks.collect::<Vec<_>>();
                let json = json!({ "width": size.0, "height": size.1, "masks": masks });
                write_text(&path, &json.to_string())?;
                path
            }
            MaskFormat::Svg => {
                let path = file("_masks.svg");
                let all: Vec<_> = answers.iter().map(parts).collect();
                let layers =
                    answers.iter().zip(&all).enumerate().map(|(index, (answer, parts))| SvgLayer {
                        title: &answer.expression,
                        parts,
                        colour: colour_code(index),
                    });
                write_text(&path, &svg_document(size.0, size.1, &layers.collect::<Vec<_>>()))?;
                path
            }
            MaskFormat::Coco => {
                let name = input.path.file_name().unwrap_or_default().to_string_lossy();
                let image = self.coco.add_image(&name, size);
                for MaskPrediction { expression, mask, score, .. } in answers {
                    self.coco.add_mask(image, expression, mask, *score, self.tolerance);
                }
                folder.join("annotations.json")
            }
            MaskFormat::Yolo => {
                let path = file(".txt");
                let lines = answers
                    .iter()
                    .map(|answer| self.yolo.line(&answer.expression, &answer.mask, self.tolerance));
                write_text(&path, &lines.collect::<String>())?;
                path
            }
        };
        Ok(vec![path; answers.len()])
    }

    /// Writes what belongs to all pictures.
    pub fn finish(self, folder: &Path) -> Result<(), FileError> {
        match self.format {
            MaskFormat::Coco => {
                write_text(&folder.join("annotations.json"), &self.coco.json().to_string())
            }
            MaskFormat::Yolo => write_text(&folder.join("classes.txt"), &self.yolo.classes()),
            MaskFormat::Png | MaskFormat::Polygon | MaskFormat::Svg => Ok(()),
        }
    }
}

fn write_text(path: &Path, text: &str) -> Result<(), FileError> {
    write_file(path, |file| file.write_all(text.as_bytes()))
}
