//! What several modules share.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex};

use image::RgbImage;
use mllmseg::data::image::read_image;
use mllmseg::{Segmenter, device};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;
use xtask::weights::{CheckpointOptions, write_checkpoint};

/// Where drawn checkpoints and their copies are, on one file system.
const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// The `qwen2` case, loaded once.
pub static QWEN2: LazyLock<Segmenter> =
    LazyLock::new(|| Segmenter::load(checkpoint("qwen2"), &device::cpu()).unwrap());

/// The repository's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file or folder under `tests/`.
pub fn tests(path: &str) -> PathBuf {
    root().join("tests").join(path)
}

/// The folder of a reference case.
pub fn case(name: &str) -> PathBuf {
    tests("reference").join(name)
}

/// The image of a reference case.
pub fn image_of(name: &str) -> RgbImage {
    read_image(case(name).join("image.png")).unwrap()
}

/// The checkpoint of a reference case, in f32 and one file. It is drawn once; [`copy_of`] gives
/// what a test may change.
pub fn checkpoint(name: &str) -> PathBuf {
    static DRAWN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let folder = Path::new(SCRATCH).join(name);
    let mut drawn = DRAWN.lock().unwrap();
    if !drawn.iter().any(|other| other == name) {
        write_checkpoint(&case(name), &folder, &CheckpointOptions::default()).unwrap();
        drawn.push(name.to_string());
    }
    folder
}

/// The checkpoint of a reference case, otherwise laid out.
pub fn drawn(name: &str, options: CheckpointOptions) -> TempDir {
    let folder = scratch();
    write_checkpoint(&case(name), folder.path(), &options).unwrap();
    folder
}

/// An empty folder beside the drawn checkpoints.
pub fn scratch() -> TempDir {
    TempDir::new_in(SCRATCH).unwrap()
}

pub fn copy_of(folder: &Path) -> TempDir {
    let copy = scratch();
    copy_folder(folder, copy.path());
    copy
}

/// Copies a folder. Large files become hard links: [`replace`] them, never write into them.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.extension().and_then(OsStr::to_str) {
            _ if path.is_dir() => copy_folder(&path, &target),
            Some("safetensors") => fs::hard_link(&path, &target).unwrap(),
            _ => fs::copy(&path, &target).map(drop).unwrap(),
        }
    }
}

/// Writes a file in the place of another, whose other links keep their content.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) {
    let _ = fs::remove_file(path);
    fs::write(path, content).unwrap();
}

/// Edits a JSON file.
pub fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value = read_json(path);
    edit(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The names in a folder, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Tensors by name: dtype, shape and bytes.
pub type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Writes a safetensors file in the place of another.
pub fn write_tensors(path: &Path, tensors: &Tensors, metadata: Option<HashMap<String, String>>) {
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    replace(path, safetensors::serialize(views, metadata).unwrap());
}

/// Tensors of all safetensors files of a folder.
pub fn tensors_of(folder: &Path) -> Tensors {
    let mut tensors = Tensors::new();
    for name in names(folder).iter().filter(|name| name.ends_with(".safetensors")) {
        let bytes = fs::read(folder.join(name)).unwrap();
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            let tensor = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            assert!(tensors.insert(name, tensor).is_none());
        }
    }
    tensors
}

/// Shape and values of an f32 tensor of a file.
pub fn floats(file: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = fs::read(file).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    assert_eq!(view.dtype(), Dtype::F32);
    (view.shape().to_vec(), f32s(view.data()))
}

pub fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The largest difference of two lists of the same length.
pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

/// The command.
pub fn mllmseg<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mllmseg"));
    command.args(arguments);
    command
}

/// What a command prints when it succeeds.
pub fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The JSON that a command prints when it succeeds.
pub fn printed_json(command: &mut Command) -> Value {
    serde_json::from_str(&printed(command)).unwrap()
}

/// The message of a failing command; it must fail by an error, not by a panic.
pub fn failure(command: &mut Command) -> String {
    failure_of(&command.output().unwrap())
}

pub fn failure_of(output: &Output) -> String {
    let text = errors(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("panicked") && !text.contains("please report"), "{text}");
    text
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All of these words, in any order.
#[track_caller]
pub fn assert_says(message: impl Display, words: &[&str]) {
    let message = message.to_string();
    for word in words {
        assert!(message.contains(word), "expected {word:?} in: {message}");
    }
}
