//! Exports the function that calls the constructors of the module.

fn main() {
    // What compiles for the GPU registers its operations in constructors. The script calls them once; otherwise the linker
    // would have each exported function call them all.
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-cdylib=--export=__wasm_call_ctors");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
