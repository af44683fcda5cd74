//! A checkpoint of the user's own, and folders that are none.

use std::fs;
use std::path::Path;

use mllmseg::tiny;
use serde_json::json;

use super::Site;
use crate::support::{copy_of, edit_json, replace, scratch};

/// Changes the files of a folder.
type Change = fn(&Path);

/// Chooses a folder in the page.
fn choose(site: &mut Site, folder: &Path) {
    let asked = json!({ "expression": "document.getElementById('folder')" });
    let object = site.page.call("Runtime.evaluate", asked)["result"]["objectId"].take();
    let files = json!({ "objectId": object, "files": [folder] });
    site.page.call("DOM.setFileInputFiles", files);
}

/// Drops a folder on the page.
fn drop_folder(site: &mut Site, folder: &Path) {
    for kind in ["dragEnter", "dragOver", "drop"] {
        let data = json!({ "items": [], "files": [folder], "dragOperationsMask": 1 });
        let event = json!({ "type": kind, "x": 200, "y": 300, "data": data });
        site.page.call("Input.dispatchDragEvent", event);
    }
}

#[test]
#[ignore = "needs `cargo xtask web`; `cargo xtask ci` runs both"]
fn a_folder_of_the_users_takes_the_place_of_the_model() {
    let Some(mut site) = Site::open("") else { return };
    site.take_example();
    site.ask("the red star", 1);

    let mine = copy_of(&tiny::folder().unwrap());
    let model = mine.path().join("mine");
    fs::create_dir(&model).unwrap();
    for entry in fs::read_dir(mine.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_file() {
            fs::rename(&entry, model.join(entry.file_name().unwrap())).unwrap();
        }
    }
    choose(&mut site, &model);
    site.page.wait_for("document.getElementById('model').innerText.startsWith('mine on')");
    let notice = site.page.evaluate("document.getElementById('notice').innerText");
    assert!(notice.as_str().unwrap().contains("The model of mine"), "{notice}");
    // The picture is still there, and is read again.
    site.page.wait_for("document.querySelectorAll('#answers li').length === 0");
    site.ask("the green ring", 1);

    // What is broken is refused by its name, and the model before answers on.
    let broken = scratch();
    let folder = broken.path().join("broken");
    crate::support::copy_folder(&model, &folder);
    let weights = fs::read(folder.join("model.safetensors")).unwrap();
    replace(&folder.join("model.safetensors"), &weights[..weights.len() / 2]);
    let cases: [(&str, Change); 4] = [
        ("broken/model.safetensors: the header describes", |_| {}),
        ("broken/config.json", |folder| fs::write(folder.join("config.json"), "{").unwrap()),
        // 1000 layers of 3 x 128 x 65536 weights.
        ("GB in 8 bits, but here is room for 3.4 GB", |folder| {
            let tiny = tiny::folder().unwrap();
            fs::copy(tiny.join("config.json"), folder.join("config.json")).unwrap();
            replace(
                &folder.join("model.safetensors"),
                fs::read(tiny.join("model.safetensors")).unwrap(),
            );
            edit_json(&folder.join("config.json"), |config| {
                let language = &mut config["llm_config"];
                language["num_hidden_layers"] = json!(1000);
                language["intermediate_size"] = json!(65536);
            });
        }),
        ("broken: no weights found; expected model.safetensors", |folder| {
            fs::remove_file(folder.join("model.safetensors")).unwrap();
        }),
    ];
    for (index, (message, change)) in cases.into_iter().enumerate() {
        change(&folder);
        match index {
            0 => drop_folder(&mut site, &folder),
            _ => choose(&mut site, &folder),
        }
        site.page
            .wait_for(&format!("document.getElementById('error').innerText.includes({message:?})"));
        let error = site.page.evaluate("document.getElementById('error').innerText");
        eprintln!("{error}");
        assert!(error.as_str().unwrap().contains("mllmseg serve --checkpoint broken"), "{error}");
        site.page.evaluate("document.getElementById('words').focus()");
        site.ask("the red star", index + 2);
    }
    site.assert_quiet();
}
