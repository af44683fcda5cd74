//! Files for the readers that take a path: in memory where the system has such a folder.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

thread_local! {
    /// The folder of the inputs, and the files in it.
    static FILES: RefCell<(TempDir, BTreeMap<String, Vec<u8>>)> =
        RefCell::new((folder(), BTreeMap::new()));
}

/// A new folder, which is removed when it is dropped.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    TempDir::new_in(parent).expect("a folder for the inputs")
}

/// Calls `read` with the path of a file that holds `bytes`.
pub fn with_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    with_files(&[(name, bytes)], |folder| read(&folder.join(name)));
}

/// Calls `read` with the path of a folder that holds these files alone.
pub fn with_files(files: &[(&str, &[u8])], read: impl FnOnce(&Path)) {
    FILES.with_borrow_mut(|(folder, there)| {
        let path = |name: &str| folder.path().join(name);
        for (name, _) in there.extract_if(.., |name, _| files.iter().all(|(kept, _)| kept != name))
        {
            fs::remove_file(path(&name)).expect("the file of an earlier input");
        }
        for (name, bytes) in files {
            // What is the same in every input is written once.
            if there.get(*name).is_none_or(|old| old != bytes) {
                fs::write(path(name), bytes).expect("the file of an input");
                there.insert((*name).to_owned(), bytes.to_vec());
            }
        }
        read(folder.path());
    });
}
