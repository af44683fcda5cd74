//! `cargo xtask web`: the page with the model inside, and the book, as a folder that any file server serves.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, error, fs, io};

use burn::tensor::DType;
use flate2::Compression;
use flate2::write::GzEncoder;
use mllmseg::model::checkpoint::safetensors::read_safetensors;
use mllmseg::model::checkpoint::write::write_safetensors;
use mllmseg_data::files::NewFolder;
use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::book;
use crate::tool::is_installed;

/// Where the folder is, from the root of the project.
pub const DIST: &str = "examples/web/dist";
const TARGET: &str = "wasm32-unknown-unknown";
/// Vectors of the browser, and its random numbers.
const FLAGS: &str = "-C target-feature=+simd128 --cfg getrandom_backend=\"wasm_js\"";
/// Most bytes of the folder.
const MOST: usize = 15_000_000;
const WEIGHTS: &str = "model.safetensors";
const BOOK: &str = "book";

/// Files of the page from the source tree, and their places in the folder. Look and script are those of
/// `mllmseg serve`; the model behind them is not.
const PAGE: [(&str, &str); 11] = [
    ("src/serve/page/index.html", "index.html"),
    ("src/serve/page/page.css", "page/page.css"),
    ("src/serve/page/page.js", "page/page.js"),
    ("src/serve/page/mask.js", "page/mask.js"),
    ("examples/scene.png", "page/example.png"),
    ("examples/web/page/backend.js", "page/backend.js"),
    ("examples/web/page/compose.js", "page/compose.js"),
    ("examples/web/page/live.js", "page/live.js"),
    ("examples/web/page/make.js", "page/make.js"),
    ("examples/web/page/worker.js", "page/worker.js"),
    ("examples/web/page/sw.js", "sw.js"),
];

/// The crate compiled for a kind of device.
struct Program {
    device: &'static str,
    features: &'static [&'static str],
}

/// The second has three times the bytes, and is fetched when it is asked for.
const PROGRAMS: [Program; 2] = [
    Program { device: "cpu", features: &[] },
    Program { device: "gpu", features: &["--features", "webgpu"] },
];

impl Program {
    fn script(&self) -> String {
        format!("page/{}.js", self.device)
    }

    /// In gzip. Some servers would unpack a name in `.gz` on its way.
    fn wasm(&self) -> String {
        format!("page/{}_bg.wasm.gzip", self.device)
    }
}

type Result<T> = std::result::Result<T, Box<dyn error::Error>>;

/// Whether this machine can make the folder.
///
/// # Errors
/// What is missing, and how it is installed.
pub fn tools() -> std::result::Result<(), String> {
    if !is_installed("wasm-bindgen") {
        return Err(
            "wasm-bindgen is not there: `cargo install --locked wasm-bindgen-cli --version N`, \
                    where N is the version of wasm-bindgen in Cargo.lock"
                .into(),
        );
    }
    let rustup = || {
        let output = Command::new("rustup").args(["target", "list", "--installed"]).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(TARGET))
    };
    if env::var_os("WASM_CARGO").is_none() && !rustup() {
        return Err(format!(
            "the compiler has no {TARGET}: `rustup target add {TARGET}`, or name in WASM_CARGO a program \
             that takes cargo's arguments and knows the target"
        ));
    }
    Ok(())
}

/// Makes the folder, and prints what is in it.
pub fn make() -> Result<()> {
    env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
    tools()?;
    let folder = NewFolder::replacing(Path::new(DIST))?;
    let dist = folder.path();
    for name in ["page", "model"] {
        fs::create_dir(dist.join(name))?;
    }
    for program in &PROGRAMS {
        let wasm = compile(program.features)?;
        let mut command = Command::new("wasm-bindgen");
        command.args(["--target", "web", "--no-typescript", "--out-name", program.device]);
        command.args(["--remove-name-section", "--remove-producers-section", "--out-dir"]);
        run(command.arg(dist.join("page")).arg(wasm))?;
        let bound = format!("page/{}_bg.wasm", program.device);
        pack(&dist.join(bound), &dist.join(program.wasm()))?;
    }
    for (from, to) in PAGE {
        fs::copy(from, dist.join(to))?;
    }
    let model = write_model(&dist.join("model"))?;
    let pages = dist.canonicalize()?.join(BOOK);
    let has_book = is_installed(book::MDBOOK);
    match has_book {
        true => book::build(Some(&pages))?,
        false => println!("the book is left out: `cargo install --locked mdbook` adds it"),
    }
    let book = if has_book { files_in(&pages)? } else { Vec::new() };
    fs::write(dist.join("page/files.js"), list_of_files(dist, &model, &book)?)?;
    let total = print_sizes(dist, &model, &book)?;
    if total > MOST {
        return Err(format!("{DIST} would have {total} bytes; expected at most {MOST}").into());
    }
    folder.finish()?;
    println!("{DIST} is ready; `python3 -m http.server --directory {DIST}` serves it");
    Ok(())
}

/// The files of a folder and of those in it, in order.
fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    let mut files = Vec::new();
    for path in entries.iter().map(fs::DirEntry::path) {
        match path.is_dir() {
            true => files.extend(files_in(&path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}

/// The compiled crate.
fn compile(features: &[&str]) -> Result<PathBuf> {
    let target = PathBuf::from(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let mut target = env::current_dir()?.join(target).into_os_string();
    target.push("-wasm"); // other flags would compile everything again
    let mut command = Command::new(env::var_os("WASM_CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([
        "build",
        "--profile",
        "web",
        "--locked",
        "--target",
        TARGET,
        "-p",
        "mllmseg-web",
    ]);
    command.args(features);
    // Variables of the cargo that runs this would reach the other.
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    run(command.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &target))?;
    Ok(Path::new(&target).join(TARGET).join("web/mllmseg_web.wasm"))
}

/// Puts a file's bytes in gzip in its place.
fn pack(from: &Path, to: &Path) -> io::Result<()> {
    let mut packer = GzEncoder::new(File::create(to)?, Compression::best());
    packer.write_all(&fs::read(from)?)?;
    packer.finish()?;
    fs::remove_file(from)
}

/// The tiny model with all weights in f16, half of what they are; the names of its files.
fn write_model(folder: &Path) -> Result<Vec<String>> {
    let tiny = Path::new("assets/tiny");
    let arrays = read_safetensors(&tiny.join(WEIGHTS))?.into_iter().map(|(name, data)| {
        let halved = data.dtype().is_float().then_some(DType::F16);
        let dtype = halved.unwrap_or(data.dtype());
        (name, data.convert_dtype(dtype))
    });
    write_safetensors(arrays.collect(), &folder.join(WEIGHTS))?;
    let mut names = vec![format!("model/{WEIGHTS}")];
    for entry in fs::read_dir(tiny)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".json") || name == "merges.txt" {
            fs::copy(tiny.join(&name), folder.join(&name))?;
            names.push(format!("model/{name}"));
        }
    }
    names.sort();
    Ok(names)
}

/// `files.js`: what the service worker keeps, and what the worker reads and checks.
fn list_of_files(dist: &Path, model: &[String], book: &[PathBuf]) -> Result<String> {
    let sha256 = |bytes: &[u8]| -> String {
        digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let programs = PROGRAMS.iter().map(|program| (program.wasm(), Some(program.device)));
    let mut files = Vec::new();
    for (path, device) in programs.chain(model.iter().map(|path| (path.clone(), None))) {
        let bytes = fs::read(dist.join(&path))?;
        let (length, sha256) = (bytes.len(), sha256(&bytes));
        files.push(json!({ "path": path, "device": device, "bytes": length, "sha256": sha256 }));
    }
    let own = PAGE.iter().map(|(_, to)| to.to_string()).filter(|path| path != "sw.js");
    let page: Vec<String> = own.chain(PROGRAMS.iter().map(Program::script)).collect();
    let mut all = serde_json::to_vec(&files)?;
    for path in page.iter().map(|path| dist.join(path)).chain(book.iter().cloned()) {
        all.extend(fs::read(path)?);
    }
    let page = [page, ["./", "page/files.js"].map(String::from).to_vec()].concat();
    let version = &sha256(&all)[..16];
    let list =
        json!({ "version": version, "book": !book.is_empty(), "page": page, "files": files });
    Ok(format!("self.FILES = {list:#};\n"))
}

/// Prints bytes as they are and as they travel; returns those of all, as they are.
fn print_sizes(dist: &Path, model: &[String], book: &[PathBuf]) -> Result<usize> {
    let in_dist = |paths: &[String]| paths.iter().map(|path| dist.join(path)).collect::<Vec<_>>();
    let own = PAGE.iter().map(|(_, to)| to.to_string()).chain(["page/files.js".to_string()]);
    let (packer, options) = match is_installed("brotli") {
        true => ("brotli", ["-c", "-q", "11"].as_slice()),
        false => ("gzip", ["-c", "-9"].as_slice()),
    };
    let print = |what: &str, paths: &[PathBuf]| -> Result<usize> {
        let mut sizes = [0, 0];
        for path in paths {
            let bytes = fs::read(path)?;
            sizes[0] += bytes.len();
            sizes[1] += compressed(packer, options, &bytes)?;
        }
        println!("{what:<20} {:>12} {:>12}", sizes[0], sizes[1]);
        Ok(sizes[0])
    };
    println!("{:<20} {:>12} {:>12}", "bytes of", "", packer);
    let mut total = print("the page", &in_dist(&own.collect::<Vec<_>>()))?;
    for program in &PROGRAMS {
        let files = in_dist(&[program.script(), program.wasm()]);
        total += print(&format!("the program, {}", program.device), &files)?;
    }
    total += print("the model", &in_dist(model))?;
    Ok(total + print("the book", book)?)
}

fn compressed(program: &str, options: &[&str], bytes: &[u8]) -> Result<usize> {
    let mut child = Command::new(program);
    let mut child = child.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().ok_or("no standard input")?;
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| "the writer stopped")??;
    match output.status.success() {
        true => Ok(output.stdout.len()),
        false => Err(format!("{program} failed ({})", output.status).into()),
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if !status.success() {
        return Err(format!("{command:?} failed ({status})").into());
    }
    Ok(())
}
