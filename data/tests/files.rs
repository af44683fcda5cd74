//! The promise of `files`: whole or not at all, whatever happens meanwhile.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use mllmseg_data::files::{FileError, NewFolder, write_file};
use tempfile::TempDir;

const FOLDER: &str = "MLLMSEG_TEST_FOLDER";
/// A file's length in bytes; all bytes of one version are the same.
const LENGTH: usize = 1 << 20;

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_file_is_replaced_and_keeps_its_content_after_an_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.json");
    for content in ["a long first content", "second"] {
        write_file(&path, |file| file.write_all(content.as_bytes())).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    let error = write_file(&path, |file| {
        file.write_all(b"half")?;
        Err(io::Error::other("the source ended"))
    });
    assert!(error.unwrap_err().to_string().contains("a.json: the source ended; check that"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "second");
    assert_eq!(entries(folder.path()), [path]);
}

#[test]
fn a_path_that_cannot_be_written_is_named_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let [missing, taken] = ["no/such.json", "taken"].map(|name| folder.path().join(name));
    fs::create_dir(&taken).unwrap();
    for path in [&missing, &taken] {
        let text = write_file(path, |file| file.write_all(b"x")).unwrap_err().to_string();
        assert!(text.starts_with(path.to_str().unwrap()) && text.contains("check that"), "{text}");
    }
    let text = write_file(Path::new(".."), |_| Ok(())).unwrap_err().to_string();
    assert!(text.contains("file name"), "{text}");
    assert_eq!(entries(folder.path()), [taken]);
}

#[test]
fn a_folder_takes_only_a_free_or_empty_place() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("deep/er");
    for _ in 0..2 {
        let new = NewFolder::create(&place).unwrap();
        fs::create_dir(new.path().join("images")).unwrap();
        fs::write(new.path().join("images/1.png"), "x").unwrap();
        assert!(!place.join("images").exists());
        new.finish().unwrap();
        assert_eq!(fs::read(place.join("images/1.png")).unwrap(), b"x");
        let file = place.join("images/1.png");
        for taken in [&place, &file] {
            let error = NewFolder::create(taken).unwrap_err();
            assert!(matches!(error, FileError::InTheWay { .. }), "{error}");
        }
        fs::remove_dir_all(place.join("images")).unwrap(); // now it is empty
    }
    drop(NewFolder::create(&place).unwrap());
    let new = NewFolder::create(&place).unwrap();
    fs::write(place.join("mine"), "came meanwhile").unwrap();
    new.finish().unwrap_err();
    assert_eq!(entries(&folder.path().join("deep")), [place.as_path()]);
    assert_eq!(entries(&place), [place.join("mine")]);
}

#[test]
fn a_folder_takes_the_place_of_another() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("model");
    for name in ["one", "two"] {
        let new = NewFolder::replacing(&place).unwrap();
        fs::write(new.path().join(name), name).unwrap();
        drop(NewFolder::replacing(&place).unwrap()); // changes nothing
        new.finish().unwrap();
        assert_eq!(entries(&place), [place.join(name)]);
        assert_eq!(entries(folder.path()), [place.as_path()]);
    }
}

/// Started by the next test: writes until it is killed.
#[test]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    for version in (0..=u8::MAX).cycle() {
        let content = vec![version; LENGTH];
        write_file(&folder.join("file"), |file| file.write_all(&content)).unwrap();
        let place = folder.join("folder");
        let _ = fs::remove_dir_all(&place);
        let new = NewFolder::create(&place).unwrap();
        for name in ["one", "two"] {
            fs::write(new.path().join(name), &content).unwrap();
        }
        new.finish().unwrap();
    }
}

#[test]
fn a_killed_process_leaves_whole_files() {
    for round in 0..8 {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, vec![7; LENGTH]).unwrap();
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(40 + 17 * round));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let content = fs::read(&file).unwrap();
        assert!(content.len() == LENGTH && content.iter().all(|byte| *byte == content[0]));
        for entry in entries(folder.path()) {
            let name = entry.file_name().unwrap().to_str().unwrap();
            match name {
                "file" => {}
                // Deleted file by file before it is written again, so one may be gone, but none is cut.
                "folder" => {
                    for file in entries(&entry) {
                        assert_eq!(fs::metadata(file).unwrap().len(), LENGTH as u64);
                    }
                }
                _ => assert!(name.starts_with(".mllmseg-"), "{name}"),
            }
        }
    }
}
