//! The numbers of every step and validation: two CSV files that grow, and a chart at the end.
//!
//! A resumed run first drops the rows of steps that it takes again. So the files of a run that was
//! stopped equal those of one that was not, except for the speed.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image::RgbImage;
use mllmseg_data::files::{FileError, write_file};
use mllmseg_data::metrics::GeneralizedReport;
use mllmseg_train::MaskLoss;
use mllmseg_train::metrics::{RecordError, Recorder, StepNumbers};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::overlay::write_png;

/// Columns of `steps.csv`; `{}` is the loss beside Dice.
const STEP_COLUMNS: &str =
    "step,learning_rate,loss,ce,{},dice,iou,gradient_norm,images,expressions,images_per_second";
/// Columns of `validation.csv`.
const VALIDATION_COLUMNS: &str = "step,expressions,ciou,giou,n_acc,t_acc";
/// Names of the validation's scores, its columns from the third on.
const SCORES: [&str; 4] = ["cIoU", "gIoU", "N-acc", "T-acc"];

/// Width and height of the chart, in pixels.
const SIZE: (u32, u32) = (1280, 860);
/// Points of a curve at most; a longer one is averaged.
const POINTS: usize = 600;
/// The font travels with the program: machines that train often have none.
const FONT: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans-subset.ttf");

/// The files of a run.
#[derive(Debug)]
pub(super) struct Curves {
    dir: PathBuf,
    steps: Table,
    validations: Table,
}

impl Curves {
    /// Opens them in the folder of a run whose next step is `first`.
    pub fn open(dir: &Path, first: usize, mask: MaskLoss) -> Result<Self, FileError> {
        let columns = STEP_COLUMNS.replace("{}", mask.pixel_term());
        // A step's row has its number; a validation's row has the number of steps before it.
        Ok(Self {
            steps: Table::open(dir.join("steps.csv"), &columns, first)?,
            validations: Table::open(dir.join("validation.csv"), VALIDATION_COLUMNS, first + 1)?,
            dir: dir.to_path_buf(),
        })
    }

    /// Draws `curves.png`.
    pub fn finish(self) -> Result<(), FileError> {
        let (steps, validations) = (self.steps.read()?, self.validations.read()?);
        let path = self.dir.join("curves.png");
        let drawn = draw(&self.steps.columns, &steps, &validations);
        let drawn = drawn.map_err(|error| io::Error::other(error.to_string()));
        write_png(&path, drawn.map_err(FileError::at(&path))?)
    }
}

impl Recorder for Curves {
    fn step(&mut self, numbers: &StepNumbers) -> Result<(), RecordError> {
        let StepNumbers { step, losses, images, expressions, .. } = numbers;
        let (rate, norm) = (numbers.learning_rate, numbers.gradient_norm);
        let speed = numbers.images_per_second;
        // The shortest decimals that give the same number back.
        Ok(self.steps.add(format!(
            "{step},{rate},{},{},{},{},{},{norm},{images},{expressions},{speed:.3}",
            losses.total, losses.ce, losses.pixel, losses.dice, losses.iou
        ))?)
    }

    fn validation(&mut self, step: usize, report: &GeneralizedReport) -> Result<(), RecordError> {
        let scores = [report.ciou, report.giou, report.n_acc, report.t_acc];
        let scores = scores.map(|score| score.map_or(String::new(), |score| score.to_string()));
        Ok(self.validations.add(format!("{step},{},{}", report.n, scores.join(",")))?)
    }
}

/// A CSV file of numbers that grows row by row.
#[derive(Debug)]
struct Table {
    path: PathBuf,
    columns: String,
    file: File,
}

impl Table {
    /// Keeps the rows whose first column is below `end`, without a row that a killed run left
    /// unfinished.
    fn open(path: PathBuf, columns: &str, end: usize) -> Result<Self, FileError> {
        let old = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(FileError::at(&path))?,
        };
        let width = columns.split(',').count();
        let kept = old.lines().skip(1).filter(|row| {
            let first = row.split(',').next().and_then(|first| first.parse::<usize>().ok());
            row.split(',').count() == width && first.is_some_and(|first| first < end)
        });
        write_file(&path, |file| {
            [columns].into_iter().chain(kept).try_for_each(|row| writeln!(file, "{row}"))
        })?;
        let file = OpenOptions::new().append(true).open(&path).map_err(FileError::at(&path))?;
        Ok(Self { path, columns: columns.to_string(), file })
    }

    fn add(&mut self, row: String) -> Result<(), FileError> {
        self.file.write_all(format!("{row}\n").as_bytes()).map_err(FileError::at(&self.path))
    }

    /// All rows; an empty field is NaN.
    fn read(&self) -> Result<Vec<Vec<f64>>, FileError> {
        let text = fs::read_to_string(&self.path).map_err(FileError::at(&self.path))?;
        let row = |row: &str| row.split(',').map(|v| v.parse().unwrap_or(f64::NAN)).collect();
        Ok(text.lines().skip(1).map(row).collect())
    }
}

/// Losses above; below, validation (or IoU in training) and learning rate.
fn draw(
    columns: &str,
    steps: &[Vec<f64>],
    validations: &[Vec<f64>],
) -> Result<RgbImage, Box<dyn Error>> {
    // Fails only for a damaged font; the chart then has no words.
    let _ = plotters::style::register_font("sans-serif", FontStyle::Normal, FONT);
    let (width, height) = SIZE;
    let mut image = RgbImage::from_pixel(width, height, image::Rgb([255; 3]));
    let columns: Vec<&str> = columns.split(',').collect();
    let of_steps = |column: usize| (columns[column], averaged(steps, column));
    let of_validations = |i: usize| (SCORES[i], averaged(validations, i + 2));
    {
        let root = BitMapBackend::with_buffer(&mut image, SIZE).into_drawing_area();
        let (upper, lower) = root.split_vertically(height / 2);
        let (left, right) = lower.split_horizontally(width / 2);
        panel(&upper, "losses", &[2, 3, 4, 5].map(of_steps))?;
        match validations.is_empty() {
            true => panel(&left, "IoU in training", &[of_steps(6)])?,
            false => panel(&left, "validation, %", &[0, 1, 2, 3].map(of_validations))?,
        }
        panel(&right, "learning rate", &[of_steps(1)])?;
        root.present()?;
    }
    Ok(image)
}

/// A name, and points of step and value.
type Curve<'a> = (&'a str, Vec<(f64, f64)>);

/// Means over intervals of equal length, at most [`POINTS`] of them, without NaN or infinite values.
fn averaged(rows: &[Vec<f64>], column: usize) -> Vec<(f64, f64)> {
    let interval = rows.len().div_ceil(POINTS).max(1);
    let means = rows.chunks(interval).map(|rows| {
        let mean = |column: usize| {
            let values = rows.iter().filter_map(|row| row.get(column)).filter(|v| v.is_finite());
            values.clone().sum::<f64>() / values.count() as f64
        };
        (mean(0), mean(column))
    });
    means.filter(|(step, value)| step.is_finite() && value.is_finite()).collect()
}

fn panel(
    area: &DrawingArea<BitMapBackend, Shift>,
    title: &str,
    curves: &[Curve],
) -> Result<(), Box<dyn Error>> {
    let points = || curves.iter().flat_map(|(_, points)| points.iter().copied());
    let last = points().fold(1.0f64, |last, (step, _)| last.max(step));
    let highest = points().fold(0.0f64, |highest, (_, value)| highest.max(value));
    let highest = if highest > 0.0 { highest * 1.05 } else { 1.0 };
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(title, ("sans-serif", 22))
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last, 0.0..highest)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("step")
        .x_label_formatter(&|step| format!("{step:.0}"))
        .y_label_formatter(&|value| match highest < 0.01 {
            true => format!("{value:.1e}"),
            false => format!("{:.1$}", value, if highest < 5.0 { 2 } else { 0 }),
        })
        .label_style(("sans-serif", 15))
        .draw()?;
    for (index, (name, points)) in curves.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
        chart
            .draw_series(line)?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
    }
    if curves.len() > 1 {
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 15))
            .draw()?;
    }
    Ok(())
}
