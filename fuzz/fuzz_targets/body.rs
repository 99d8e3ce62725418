//! `make fuzz TARGET=body`: what is checked stands in `src/body.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::body::check(data));
