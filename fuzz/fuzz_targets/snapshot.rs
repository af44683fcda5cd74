#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mllmseg_fuzz::network::snapshot(bytes));
