//! What `ARCHITECTURE.md` promises, read from manifests and source text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::support::root;

/// Folder of a crate, the crates of this project that it may know, and what it must never know.
const CRATES: [(&str, &[&str], &[&str]); 9] = [
    ("model", &["mllmseg-kernels"], &["clap", "image", "tokenizers"]),
    ("model/kernels", &[], &["burn", "clap"]),
    ("data", &["mllmseg-pickle"], &["burn", "clap"]),
    ("data/pickle", &[], &["burn", "clap", "image"]),
    ("data/scenes", &["mllmseg-data"], &["burn", "clap"]),
    ("train", &["mllmseg-data", "mllmseg-model"], &["clap"]),
    ("", &["mllmseg-data", "mllmseg-model", "mllmseg-scenes", "mllmseg-train"], &["xtask"]),
    ("xtask", &["mllmseg", "mllmseg-data", "mllmseg-model", "mllmseg-train"], &[]),
    ("examples/web", &["mllmseg"], &["burn", "clap"]),
];

#[test]
fn crates_know_only_the_floors_below() {
    for (folder, may, never) in CRATES {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let manifest = toml::Value::Table(manifest.parse().unwrap());
        let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter();
        let sections = targets.flat_map(|targets| targets.values()).chain([&manifest]);
        let sections = sections.filter_map(|section| section.get("dependencies")?.as_table());
        for name in sections.flat_map(|section| section.keys()) {
            let known = !name.starts_with("mllmseg") || may.contains(&name.as_str());
            assert!(known && !never.contains(&name.as_str()), "{folder}: depends on {name}");
        }
    }
}

/// A file of tests that no other names is not compiled, and nothing says so.
#[test]
fn every_file_of_these_tests_is_compiled() {
    let folder = root().join("tests/it");
    let main = fs::read_to_string(folder.join("main.rs")).unwrap();
    let named: BTreeSet<&str> = main.lines().filter_map(|line| line.strip_prefix("mod ")).collect();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = format!("{};", name.trim_end_matches(".rs"));
        let compiled = name == "main.rs" || named.contains(module.as_str());
        assert!(compiled, "tests/it/{name}: not named in main.rs");
    }
}

/// Backends are named in `src/device/` and by the chores, and nothing prints by macros.
#[test]
fn no_library_names_a_backend_or_prints() {
    const BACKENDS: [&str; 7] = ["flex", "cuda", "wgpu", "vulkan", "metal", "rocm", "remote"];
    for (folder, ..) in &CRATES[..7] {
        for (module, code) in modules(folder) {
            let part = format!("{folder}{module}::");
            for word in words(&code) {
                let backend = word.strip_prefix("Device::");
                let backend = backend.is_some_and(|x| BACKENDS.iter().any(|y| x.starts_with(y)));
                assert!(!backend || part.starts_with("::device::"), "{part} {word}");
                // They end the program where a pipe was closed; `src/cli/terminal.rs` does not.
                let prints = ["print!", "println!", "eprint!", "eprintln!", "dbg!"];
                assert!(!prints.contains(&word), "{part} {word}");
            }
        }
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for (folder, ..) in CRATES {
        let parsed = modules(folder).into_iter().map(|(module, code)| (module, parse(&code)));
        let (imports, bodies): (Imports, Vec<_>) =
            parsed.map(|(module, (uses, body))| ((module.clone(), uses), (module, body))).unzip();
        let mut needs: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (module, body) in &bodies {
            // A name that is exported again is needed where the file also uses it.
            let names: BTreeSet<_> = words(body).map(|w| w.split("::").next().unwrap()).collect();
            let used = imports[module].iter().filter(|u| !u.exported || names.contains(&*u.name));
            let inline = words(body).filter(|word| word.contains("::"));
            let paths = used.map(|import| &*import.path).chain(inline);
            let found = paths.filter_map(|path| resolve(&imports, module, path));
            needs.insert(module, found.filter(|other| other != module).collect());
        }
        // What needs nothing that is left, or is needed by nothing that is left, is in no circle.
        let mut before = usize::MAX;
        while needs.len() < before {
            before = needs.len();
            let left: BTreeSet<String> = needs.keys().map(ToString::to_string).collect();
            let needed: BTreeSet<String> = needs.values().flatten().cloned().collect();
            needs.values_mut().for_each(|others| others.retain(|other| left.contains(other)));
            needs.retain(|module, others| !others.is_empty() && needed.contains(*module));
        }
        assert!(needs.is_empty(), "{folder}: files import each other: {needs:#?}");
    }
}

/// One name of a `use` statement.
struct Import {
    name: String,
    path: String,
    exported: bool,
}

/// The imports of each module.
type Imports = BTreeMap<String, Vec<Import>>;

/// The imports of a file, and the rest of it.
fn parse(code: &str) -> (Vec<Import>, String) {
    let (mut imports, mut body, mut lines) = (Vec::new(), String::new(), code.lines());
    while let Some(line) = lines.next() {
        let Some((visibility @ ("" | "pub " | "pub(crate) " | "pub(super) "), tree)) =
            line.trim_start().split_once("use ")
        else {
            body = body + line + "\n";
            continue;
        };
        let mut tree = tree.to_string();
        while !tree.ends_with(';') {
            tree += lines.next().unwrap().trim();
        }
        for path in expand(tree.trim_end_matches(';')) {
            let (path, name) = path.split_once(" as ").unwrap_or((&path, &path));
            let [path, name] = [path, name].map(|path| path.trim_end_matches("::self").to_string());
            let name = name.rsplit("::").next().unwrap().to_string();
            imports.push(Import { name, path, exported: !visibility.is_empty() });
        }
    }
    (imports, body)
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<String> {
    let Some((prefix, rest)) = tree.split_once('{') else { return vec![tree.to_string()] };
    let mut depth = 0;
    let parts = rest.strip_suffix('}').unwrap().split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let parts = parts.map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(|part| expand(&format!("{prefix}{part}"))).collect()
}

/// The module in which a path of module `from` ends; none outside its crate.
fn resolve(imports: &Imports, from: &str, path: &str) -> Option<String> {
    let mut module = from.to_string();
    for (index, name) in path.split("::").enumerate() {
        let child = format!("{module}::{name}");
        match name {
            "crate" => module = String::new(),
            "super" => module = module.rsplit_once("::")?.0.to_string(),
            "self" => {}
            _ if imports.contains_key(&child) => module = child,
            _ if index == 0 => return None,
            _ => match imports.get(&module)?.iter().find(|import| import.name == name) {
                Some(import) => return resolve(imports, &module, &import.path),
                None => break,
            },
        }
    }
    Some(module)
}

/// The code of each file under `src/` without comments and tests, by its module's path: `::a::b`.
fn modules(folder: &str) -> BTreeMap<String, String> {
    let source = root().join(folder).join("src");
    let (mut modules, mut folders) = (BTreeMap::new(), vec![source.clone()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let mut parts = text.split("#[cfg(test)]\n");
            let code = parts.next().into_iter();
            let code = code.chain(parts.take_while(|part| part.contains("mod tests;")));
            let lines = code.flat_map(str::lines).map(|line| line.split("//").next().unwrap());
            let module = path.strip_prefix(&source).unwrap().with_extension("");
            let names = module.iter().map(|name| name.to_str().unwrap());
            let names = names.filter(|name| !["lib", "mod"].contains(name));
            let module: String = names.map(|name| format!("::{name}")).collect();
            modules.insert(module, lines.collect::<Vec<_>>().join("\n"));
        }
    }
    modules.retain(|module, _| !module.ends_with("::tests"));
    modules
}

/// Names, paths and macros.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let words = code.split(|c: char| !c.is_alphanumeric() && !"_:!".contains(c));
    words.map(|word| word.trim_matches(':'))
}
