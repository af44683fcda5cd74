//! The files that say what a run is.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mllmseg_data::files::{FileError, write_file};
use mllmseg_train::Recipe;
use serde::{Deserialize, Serialize};

use super::error::TrainingError;

const RECIPE: &str = "recipe.toml";
const RUN: &str = "run.toml";
const LOCK: &str = "run.lock";

/// Where a run starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// From a base checkpoint; without a mask decoder it gets a fresh one.
    Base(PathBuf),
    /// From a trained model: the second stage.
    Init(PathBuf),
    /// From nothing: the recipe's `new_model`.
    Nothing,
}

/// The folder of a run.
#[derive(Debug, Clone)]
pub(super) struct RunFiles {
    pub dir: PathBuf,
    pub start: Start,
    /// Root of the data sets.
    pub data: PathBuf,
    pub recipe: Recipe,
}

/// What `run.toml` holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Places {
    data: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    init: Option<PathBuf>,
}

/// Keeps other trainings from a run's folder, which is made, as long as the file is open; what a killed
/// one left half written there goes.
pub(super) fn lock(dir: &Path) -> Result<File, TrainingError> {
    fs::create_dir_all(dir).map_err(FileError::at(dir))?;
    let path = dir.join(LOCK);
    let file = File::options().create(true).append(true).open(&path);
    let file = file.map_err(FileError::at(&path))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(TrainingError::Busy(dir.to_path_buf())),
        Ok(()) => remove_unfinished(dir).map_err(FileError::at(dir))?,
        Err(TryLockError::Error(_)) => {} // a file system may have no locks
    }
    Ok(file)
}

/// Removes the folders of [`NewFolder`](mllmseg_data::files::NewFolder) that were never finished.
fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(".mllmseg-");
        if is_unfinished && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

impl RunFiles {
    /// Locks the folder and writes the files of a new run. `run.toml` comes last: with it the run exists.
    pub fn create(
        dir: &Path,
        start: &Start,
        data: &Path,
        recipe: Recipe,
    ) -> Result<(Self, File), TrainingError> {
        if *start == Start::Nothing && recipe.new_model.is_none() {
            return Err(TrainingError::NoStart);
        }
        let lock = lock(dir)?;
        let run = dir.join(RUN);
        if run.exists() {
            return Err(TrainingError::Exists(dir.to_path_buf()));
        }
        let whole = |path: &Path| std::path::absolute(path).map_err(FileError::at(path));
        let (base, init) = match start {
            Start::Base(base) => (Some(whole(base)?), None),
            Start::Init(init) => (None, Some(whole(init)?)),
            Start::Nothing => (None, None),
        };
        let places = Places { data: whole(data)?, base, init };
        write_file(&dir.join(RECIPE), |file| file.write_all(recipe.to_toml().as_bytes()))?;
        write_file(&run, |file| {
            let text = toml::to_string_pretty(&places).map_err(io::Error::other)?;
            file.write_all(text.as_bytes())
        })?;
        Ok((Self::new(dir, places, recipe), lock))
    }

    /// Reads the files of a run.
    pub fn open(dir: &Path) -> Result<Self, TrainingError> {
        for missing in [RUN, RECIPE] {
            if !dir.join(missing).exists() {
                return Err(TrainingError::NoRun(dir.to_path_buf(), missing));
            }
        }
        let recipe = Recipe::of_run(&dir.join(RECIPE))?;
        recipe.check()?;
        let run = dir.join(RUN);
        let text = fs::read_to_string(&run).map_err(FileError::at(&run))?;
        let places = toml::from_str(&text);
        let places = places.map_err(|error| TrainingError::Places(run, Box::new(error)))?;
        Ok(Self::new(dir, places, recipe))
    }

    fn new(dir: &Path, Places { data, base, init }: Places, recipe: Recipe) -> Self {
        let start = base.map(Start::Base).or(init.map(Start::Init)).unwrap_or(Start::Nothing);
        Self { dir: dir.to_path_buf(), start, data, recipe }
    }

    /// The checkpoint that the run starts from.
    pub fn base(&self) -> PathBuf {
        match &self.start {
            Start::Base(dir) | Start::Init(dir) => dir.clone(),
            Start::Nothing => self.dir.join("base"),
        }
    }
}
