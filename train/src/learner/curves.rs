//! The numbers of every step and validation: two CSV files that grow, and a picture at the end.
//!
//! After a resume, rows of steps that are taken again are dropped first, so that the files of a
//! stopped run and of one that never stopped are alike (but for the speed).

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use mllmseg_data::metrics::GeneralizedReport;
use plotters::prelude::*;
use thiserror::Error;

use super::trainee::StepNumbers;

/// Columns of `steps.csv`; `{}` is the loss beside Dice.
const STEP_COLUMNS: &str =
    "step,learning_rate,loss,ce,{},dice,iou,gradient_norm,images,expressions,images_per_second";
/// Columns of `validation.csv`.
const VALIDATION_COLUMNS: &str = "step,expressions,ciou,giou,n_acc,t_acc";

/// Size of the picture, in pixels.
const SIZE: (u32, u32) = (1280, 860);
/// Points of a curve at most; a longer one is averaged.
const POINTS: usize = 600;

/// Why the curves cannot be kept.
#[derive(Debug, Error)]
pub enum CurveError {
    /// A file that cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The picture cannot be drawn.
    #[error("{path}: {message}")]
    Draw {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

/// The files of a run.
#[derive(Debug)]
pub struct Curves {
    dir: PathBuf,
    steps: Table,
    validations: Table,
}

impl Curves {
    /// Opens them in the folder of a run that goes on with step `first`.
    ///
    /// # Errors
    /// [`CurveError::Io`].
    pub fn open(dir: &Path, first: usize, pixel_term: &str) -> Result<Self, CurveError> {
        let columns = STEP_COLUMNS.replace("{}", pixel_term);
        // A step's row bears its number; a validation's the number of steps before it.
        Ok(Self {
            steps: Table::open(dir.join("steps.csv"), &columns, first)?,
            validations: Table::open(dir.join("validation.csv"), VALIDATION_COLUMNS, first + 1)?,
            dir: dir.to_path_buf(),
        })
    }

    /// Adds a step.
    ///
    /// # Errors
    /// [`CurveError::Io`].
    pub fn step(&mut self, numbers: &StepNumbers) -> Result<(), CurveError> {
        let StepNumbers { step, losses, images, expressions, .. } = numbers;
        let (rate, norm) = (numbers.learning_rate, numbers.gradient_norm);
        let speed = numbers.images_per_second;
        // The shortest decimals that give the same number back.
        self.steps.add(format!(
            "{step},{rate},{},{},{},{},{},{norm},{images},{expressions},{speed:.3}",
            losses.total, losses.ce, losses.pixel, losses.dice, losses.iou
        ))
    }

    /// Adds a validation after so many steps.
    ///
    /// # Errors
    /// [`CurveError::Io`].
    pub fn validation(
        &mut self,
        step: usize,
        report: &GeneralizedReport,
    ) -> Result<(), CurveError> {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        self.validations.add(format!(
            "{step},{},{},{},{},{}",
            report.n,
            number(report.ciou),
            number(report.giou),
            number(report.n_acc),
            number(report.t_acc)
        ))
    }

    /// Draws `curves.png`.
    ///
    /// # Errors
    /// [`CurveError`].
    pub fn finish(self) -> Result<(), CurveError> {
        let (steps, validations) = (self.steps.read()?, self.validations.read()?);
        let path = self.dir.join("curves.png");
        let part = self.dir.join("curves.part.png");
        let failed = |message| CurveError::Draw { path: path.clone(), message };
        let pixels = draw(&self.steps.columns, &steps, &validations).map_err(failed)?;
        image::save_buffer(&part, &pixels, SIZE.0, SIZE.1, image::ColorType::Rgb8)
            .map_err(|error| failed(error.to_string()))?;
        fs::rename(&part, &path).map_err(io(&path))
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
    /// Keeps the rows whose first column is below `end`, and drops what a killed run left unfinished.
    fn open(path: PathBuf, columns: &str, end: usize) -> Result<Self, CurveError> {
        let old = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(CurveError::Io { path, source }),
        };
        let width = columns.split(',').count();
        let kept = old.lines().skip(1).filter(|row| {
            let first = row.split(',').next().and_then(|first| first.parse::<usize>().ok());
            row.split(',').count() == width && first.is_some_and(|first| first < end)
        });
        let text: String =
            [columns].into_iter().chain(kept).map(|row| format!("{row}\n")).collect();
        let part = path.with_extension("csv.part");
        fs::write(&part, text).and_then(|()| fs::rename(&part, &path)).map_err(io(&path))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io(&path))?;
        Ok(Self { path, columns: columns.to_string(), file })
    }

    fn add(&mut self, row: String) -> Result<(), CurveError> {
        self.file.write_all(format!("{row}\n").as_bytes()).map_err(io(&self.path))
    }

    /// All rows; an empty field is not a number.
    fn read(&self) -> Result<Vec<Vec<f64>>, CurveError> {
        let text = fs::read_to_string(&self.path).map_err(io(&self.path))?;
        let row = |row: &str| row.split(',').map(|v| v.parse().unwrap_or(f64::NAN)).collect();
        Ok(text.lines().skip(1).map(row).collect())
    }
}

/// Losses above, validation (or the overlap in training) and learning rate below; RGB, row by row.
fn draw(columns: &str, steps: &[Vec<f64>], validations: &[Vec<f64>]) -> Result<Vec<u8>, String> {
    register_font();
    let mut pixels = vec![255; SIZE.0 as usize * SIZE.1 as usize * 3];
    paint(&mut pixels, columns, steps, validations)?;
    Ok(pixels)
}

fn paint(
    pixels: &mut [u8],
    columns: &str,
    steps: &[Vec<f64>],
    validations: &[Vec<f64>],
) -> Result<(), String> {
    let root = BitMapBackend::with_buffer(pixels, SIZE).into_drawing_area();
    let (upper, lower) = root.split_vertically(SIZE.1 / 2);
    let (left, right) = lower.split_horizontally(SIZE.0 / 2);
    let name = |column: usize| columns.split(',').nth(column).unwrap_or("").to_string();
    let of_steps = |column: usize| (name(column), averaged(steps, column));
    panel(&upper, "losses", &[2, 3, 4, 5].map(of_steps))?;
    let scores: Vec<Curve> = match validations.is_empty() {
        true => vec![of_steps(6)],
        false => ["cIoU", "gIoU", "N-acc", "T-acc"]
            .iter()
            .enumerate()
            .map(|(i, name)| (name.to_string(), averaged(validations, i + 2)))
            .collect(),
    };
    panel(
        &left,
        if validations.is_empty() { "overlap in training" } else { "validation, %" },
        &scores,
    )?;
    panel(&right, "learning rate", &[of_steps(1)])?;
    root.present().map_err(|error| error.to_string())
}

/// A name, and points of step and value.
type Curve = (String, Vec<(f64, f64)>);

/// The means of stretches of equal length, at most [`POINTS`] of them; what is no number is left out.
fn averaged(rows: &[Vec<f64>], column: usize) -> Vec<(f64, f64)> {
    let stretch = rows.len().div_ceil(POINTS).max(1);
    let means = rows.chunks(stretch).map(|rows| {
        let mean = |column: usize| {
            let values = rows.iter().filter_map(|row| row.get(column)).filter(|v| v.is_finite());
            values.clone().sum::<f64>() / values.count() as f64
        };
        (mean(0), mean(column))
    });
    means.filter(|(step, value)| step.is_finite() && value.is_finite()).collect()
}

fn panel(
    area: &DrawingArea<BitMapBackend, plotters::coord::Shift>,
    title: &str,
    curves: &[Curve],
) -> Result<(), String> {
    let points = || curves.iter().flat_map(|(_, points)| points.iter().copied());
    let (mut last, mut highest) = (1.0f64, 0.0f64);
    for (step, value) in points() {
        (last, highest) = (last.max(step), highest.max(value));
    }
    let highest = if highest > 0.0 { highest * 1.05 } else { 1.0 };
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(title, ("sans-serif", 22))
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last, 0.0..highest)
        .map_err(|error| failed(&error))?;
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
        .draw()
        .map_err(|error| failed(&error))?;
    for (index, (name, points)) in curves.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let series = LineSeries::new(points.iter().copied(), color.stroke_width(2));
        chart
            .draw_series(series)
            .map_err(|error| failed(&error))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
    }
    if curves.len() > 1 {
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 15))
            .draw()
            .map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// The font travels with the program: machines that train often have none.
fn register_font() {
    const FONT: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSans-subset.ttf");
    // Fails only for a damaged font; the picture then has no words.
    let _ = plotters::style::register_font("sans-serif", FontStyle::Normal, FONT);
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> CurveError + '_ {
    move |source| CurveError::Io { path: path.to_path_buf(), source }
}
