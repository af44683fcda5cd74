//! Inputs that once broke something, and a few seeds, replayed against the fuzz targets' functions.

#[path = "../../fuzz/src/data.rs"]
mod data;
#[path = "../../fuzz/src/fragments.rs"]
mod fragments;
#[path = "../../fuzz/src/network.rs"]
mod network;
#[path = "../../fuzz/src/network_fragments.rs"]
mod network_fragments;
#[path = "../../fuzz/src/scratch.rs"]
mod scratch;
#[cfg(feature = "serve")]
#[path = "../../fuzz/src/server.rs"]
mod server;

use std::fs;
use std::path::Path;

#[test]
fn inputs_that_broke_something_break_nothing_now() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
    let targets = data::TARGETS.iter().chain(network::TARGETS);
    #[cfg(feature = "serve")]
    let targets = targets.chain(server::TARGETS);
    let mut replayed = 0;
    for (name, run) in targets {
        // Every fragment once, so that a target without a regression is run too.
        run(&(1..=255).collect::<Vec<u8>>());
        let Ok(inputs) = fs::read_dir(folder.join(name)) else { continue };
        for input in inputs {
            run(&fs::read(input.unwrap().path()).unwrap());
            replayed += 1;
        }
    }
    let kept = fs::read_dir(folder).into_iter().flatten().flatten();
    #[cfg(not(feature = "serve"))]
    let kept = kept.filter(|target| target.file_name() != "request");
    let kept: usize = kept.map(|target| fs::read_dir(target.path()).unwrap().count()).sum();
    assert_eq!(replayed, kept, "a folder of `fuzz/regressions` has no target's name");
}
